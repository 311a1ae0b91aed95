#!lua flags=allow-oom
-- Ends the blocking call of one replica.
-- KEYS[1]  the replica's control list
-- Named    message, kept_s (of the list)
-- Reply    OK
redis.call('RPUSH', KEYS[1], message)
redis.call('EXPIRE', KEYS[1], kept_s)
return 'OK'
