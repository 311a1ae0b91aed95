#!lua flags=allow-oom
-- Switches a service, or all of them, between mock and real.
-- KEYS[1]  the hash of what is in force   KEYS[2]  the list of changes
-- Named    service (or '*'), switch (JSON), most_changes (that are kept), channel, news (JSON)
-- Reply    OK
redis.call('LLEN', KEYS[2])
if service == '*' then
  redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[1], service, switch)
redis.call('LPUSH', KEYS[2], switch)
redis.call('LTRIM', KEYS[2], 0, most_changes - 1)
redis.call('PUBLISH', channel, news)
return 'OK'
