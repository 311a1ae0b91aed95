#!lua flags=allow-oom
-- Notes which suspect a replica is about to run, so that whoever finds the replica dead knows whom to blame.
-- KEYS[1]  the replica's hash
-- Named    id, kept_s (of the hash)
-- Reply    OK
redis.call('HSET', KEYS[1], 'suspect', id)
-- A replica that dies before its first beat must not leave its hash for ever.
redis.call('EXPIRE', KEYS[1], kept_s)
return 'OK'
