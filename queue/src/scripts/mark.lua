#!lua flags=allow-oom
-- Notes which suspect a replica is about to run, so that whoever finds the replica dead knows whom to blame.
-- KEYS[1]  the replica's hash
-- ARGV     id, seconds that the hash is kept
-- Reply    OK
redis.call('HSET', KEYS[1], 'suspect', ARGV[1])
-- A replica that dies before its first beat must not leave its hash for ever.
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 'OK'
