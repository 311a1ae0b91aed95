#!lua flags=allow-oom
-- Ends the blocking call of one replica.
-- KEYS[1]  the replica's control list
-- ARGV     message, seconds that the list is kept
-- Reply    OK
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 'OK'
