#!lua flags=allow-oom
-- Gives the lock of a concurrency key to a job, unless another job has it or one with a lower id waits for it. Otherwise the job waits.
-- KEYS     lock, waiting and lapses of the key
-- Named    id, claim, now_ms, lease_end_ms, kept_ms (of the lock's record), waits_ms (so long a job that waits is known), most_waiting,
--          takes_over ('1' or '0': a lock whose lease has ended counts for nothing)
-- Reply    { -1 when the job has the lock now, otherwise how many wait before it; the id of the job that has it, or nothing }
local lock, waiting, lapses = KEYS[1], KEYS[2], KEYS[3]
check('', 'HLEN', { lock })
check('', 'ZCARD', { waiting, lapses })

local lapsed = redis.call('ZRANGEBYSCORE', lapses, '-inf', now_ms, 'LIMIT', 0, 500)
if #lapsed > 0 then
  redis.call('ZREM', lapses, unpack(lapsed))
  redis.call('ZREM', waiting, unpack(lapsed))
end

local before = redis.call('ZLEXCOUNT', waiting, '-', '(' .. id)
local has = redis.call('HMGET', lock, 'id', 'lease_end_ms')
local holder = has[1]
if holder and takes_over == '1' and tonumber(has[2]) <= tonumber(now_ms) then
  holder = false
end
-- An earlier run of the same job has ended: it was this one's to begin.
if holder == id or (not holder and before == 0) then
  redis.call('HSET', lock, 'id', id, 'claim', claim, 'lease_end_ms', lease_end_ms)
  redis.call('PEXPIRE', lock, kept_ms)
  redis.call('ZREM', waiting, id)
  redis.call('ZREM', lapses, id)
  return { -1, false }
end

redis.call('ZADD', waiting, 0, id)
redis.call('ZADD', lapses, now_ms + waits_ms, id)
if redis.call('ZCARD', waiting) > tonumber(most_waiting) then
  -- The last one comes by itself.
  redis.call('ZREM', lapses, redis.call('ZPOPMAX', waiting)[1])
end
redis.call('PEXPIRE', waiting, waits_ms)
redis.call('PEXPIRE', lapses, waits_ms)
return { before, holder }
