#!lua flags=allow-oom
-- Ends a turn that has begun, so that the next one may begin. Of one that is not under way any more it says nothing.
-- KEYS[1]  base of the place's keys
-- Named    ticket
-- Reply    1, or 0 when another one is under way
local busy = KEYS[1] .. ':busy'
if redis.call('GET', busy) ~= ticket then
  return 0
end
return redis.call('DEL', busy)
