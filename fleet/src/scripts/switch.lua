#!lua flags=allow-oom
-- Switches a service, or all of them, between mock and real.
-- KEYS[1]  the hash of what is in force   KEYS[2]  the list of changes
-- ARGV     service or '*', the switch (JSON), how many changes are kept, channel, message
-- Reply    OK
redis.call('LLEN', KEYS[2])
if ARGV[1] == '*' then
  redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('LPUSH', KEYS[2], ARGV[2])
redis.call('LTRIM', KEYS[2], 0, ARGV[3] - 1)
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 'OK'
