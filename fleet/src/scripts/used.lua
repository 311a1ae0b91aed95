#!lua flags=allow-oom
-- Says that a service uses an account.
-- KEYS[1]  the sorted set of the service's accounts
-- Named    account, now_ms, kept_s (an unused one)
-- Reply    OK
redis.call('ZADD', KEYS[1], now_ms, account)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_ms - kept_s * 1000)
redis.call('EXPIRE', KEYS[1], kept_s)
return 'OK'
