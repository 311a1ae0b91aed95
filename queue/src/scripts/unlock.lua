#!lua flags=allow-oom
-- Lets the lock of a concurrency key go, if this claim has it, and tells who comes next.
-- KEYS     lock, waiting and lapses of the key
-- Named    id, claim ('': nothing is let go), now_ms, want (so many of those that wait are told)
-- More     ids of jobs that wait no longer
-- Reply    the ids of the first that wait, lowest first; none while somebody has the lock
local lock, waiting, lapses = KEYS[1], KEYS[2], KEYS[3]
check('', 'HLEN', { lock })
check('', 'ZCARD', { waiting, lapses })
if #ARGV >= more then
  redis.call('ZREM', waiting, unpack(ARGV, more))
  redis.call('ZREM', lapses, unpack(ARGV, more))
end
local has = redis.call('HMGET', lock, 'id', 'claim', 'lease_end_ms')
if has[1] and has[1] == id and has[2] == claim then
  redis.call('DEL', lock)
elseif has[1] and tonumber(has[3]) > tonumber(now_ms) then
  return {}
end
return redis.call('ZRANGE', waiting, 0, want - 1)
