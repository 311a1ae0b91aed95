#!lua flags=allow-oom
-- A replica says that it lives.
-- KEYS[1]  the sorted set of replicas   KEYS[2]  the replica's hash
-- ARGV     replica, now_ms, what it says of itself (JSON), seconds that the hash is kept, oldest beat_ms that counts
-- Reply    OK
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[5])
redis.call('HSET', KEYS[2], 'about', ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[4])
return 'OK'
