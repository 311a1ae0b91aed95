#!lua flags=allow-oom
-- Stops claiming from a partition, or lets it go on.
-- KEYS[1]  base of the partition's keys
-- Named    since_ms ('' to go on)
-- Reply    1 if that changed anything, otherwise 0
check(KEYS[1], 'LLEN', { ':wake' })
local paused = KEYS[1] .. ':paused'
if since_ms ~= '' then
  return redis.call('SET', paused, since_ms, 'NX') and 1 or 0
end
-- Needed or not: without work it only has one replica look in vain.
wake(KEYS[1])
return redis.call('DEL', paused)
