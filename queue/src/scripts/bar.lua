#!lua
-- Sees to it that a job that is not there cannot come any more under this bid for a unique key: whoever made the bid may still be
-- about to push it.
-- KEYS[1]  base of the partition's keys
-- Named    id, bucket (of the id), bid (for the key), ttl_ms (of the bar)
-- Reply    1 when the job is known, whatever became of it; 0 when it is not, and its bid is barred
local base = KEYS[1]
if redis.call('HEXISTS', page(base, id), id) == 1
  or redis.call('HEXISTS', base .. ':done:' .. bucket, id) == 1
  or redis.call('EXISTS', base .. ':finished:' .. id) == 1 then
  return 1
end
redis.call('SET', base .. ':barred:' .. bid, '1', 'PX', ttl_ms)
return 0
