#!lua flags=allow-oom
-- A replica says that it lives.
-- KEYS[1]  the sorted set of replicas   KEYS[2]  the replica's hash
-- Named    replica, now_ms, about (JSON: what it says of itself), kept_s (of the hash), oldest_ms (the oldest beat that counts)
-- Reply    OK
redis.call('ZADD', KEYS[1], now_ms, replica)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', oldest_ms)
redis.call('HSET', KEYS[2], 'about', about)
redis.call('EXPIRE', KEYS[2], kept_s)
return 'OK'
