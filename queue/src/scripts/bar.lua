#!lua
-- Sees to it that a job that is not there cannot come any more under this claim of a unique key: whoever made the claim may still be
-- about to push it.
-- KEYS[1]  base of the partition's keys
-- ARGV     id, bucket of the id, claim, ttl_ms of the bar
-- Reply    1 when the job is known, whatever became of it; 0 when it is not, and its claim is barred
local base, id = KEYS[1], ARGV[1]
if redis.call('HEXISTS', page(base, id), id) == 1
  or redis.call('HEXISTS', base .. ':done:' .. ARGV[2], id) == 1
  or redis.call('EXISTS', base .. ':finished:' .. id) == 1 then
  return 1
end
redis.call('SET', base .. ':barred:' .. ARGV[3], '1', 'PX', ARGV[4])
return 0
