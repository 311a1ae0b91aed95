#!lua flags=allow-oom
-- Says that a service uses an account.
-- KEYS[1]  the sorted set of the service's accounts
-- ARGV     account, now_ms, seconds that an unused one is kept
-- Reply    OK
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[2] - ARGV[3] * 1000)
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 'OK'
