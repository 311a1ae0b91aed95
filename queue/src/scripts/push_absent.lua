#!lua
-- Pushes jobs whose ids are not known: one that waits, runs, is dead or has finished is left as it is, and so is one whose claim of a
-- unique key is barred.
-- KEYS[1]  base of the partition's keys
-- ARGV     minute, seconds for which its counters are kept, then (id, record, priority, due_ms or '', bucket of the id, claim or '',
--          tenant whose index it goes into or '') of each job
-- Reply    the positions of those that were added, from 1 on, and those of the barred, as negative numbers
local base, replies, n = KEYS[1], {}, 0
check(base, 'LLEN', { ':ready:0', ':ready:1', ':ready:2', ':ready:3', ':wake' })
check(base, 'ZCARD', { ':scheduled' })
for at = 3, #ARGV, 7 do
  local id, record, priority, due, bucket = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local known = redis.call('HEXISTS', page(base, id), id) == 1
    or redis.call('HEXISTS', base .. ':done:' .. bucket, id) == 1
    or redis.call('EXISTS', base .. ':finished:' .. id) == 1
  local claim, tenant = ARGV[at + 5], ARGV[at + 6]
  if known then
    -- Left as it is.
  elseif claim ~= '' and redis.call('EXISTS', base .. ':barred:' .. claim) == 1 then
    replies[#replies + 1] = -(at + 4) / 7
  else
    if tenant ~= '' then
      redis.call('ZADD', base .. ':of:' .. tenant, 0, id)
      redis.call('SADD', base .. ':tenants', tenant)
    end
    if due == '' then
      redis.call('RPUSH', base .. ':ready:' .. priority, id)
    else
      redis.call('ZADD', base .. ':scheduled', due, id)
    end
    redis.call('HSET', page(base, id), id, record)
    n = n + 1
    replies[#replies + 1] = (at + 4) / 7
  end
end
if n > 0 then
  redis.call('RPUSH', base .. ':wake', 1)
  redis.call('LTRIM', base .. ':wake', 0, 0)
  local counts = base .. ':minute:' .. ARGV[1]
  redis.call('HINCRBY', counts, 'in', n)
  redis.call('EXPIRE', counts, ARGV[2])
end
return replies
