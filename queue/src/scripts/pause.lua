#!lua flags=allow-oom
-- Stops claiming from a partition, or lets it go on.
-- KEYS[1]  base of the partition's keys
-- ARGV     now_ms to stop, '' to go on
-- Reply    1 if that changed anything, otherwise 0
check(KEYS[1], 'LLEN', { ':wake' })
local paused = KEYS[1] .. ':paused'
if ARGV[1] ~= '' then
  return redis.call('SET', paused, ARGV[1], 'NX') and 1 or 0
end
-- Needed or not: without work it only has one replica look in vain.
wake(KEYS[1])
return redis.call('DEL', paused)
