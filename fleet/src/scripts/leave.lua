#!lua flags=allow-oom
-- Ends a turn that has begun, so that the next one may begin, or gives up its place: whoever asked has done without.
-- KEYS[1]  base of the place's keys
-- Named    ticket
-- Reply    1, or 0 when another one is under way
local busy = KEYS[1] .. ':busy'
redis.call('ZREM', KEYS[1] .. ':tickets', ticket)
redis.call('ZREM', KEYS[1] .. ':until', ticket)
if redis.call('GET', busy) ~= ticket then
  return 0
end
return redis.call('DEL', busy)
