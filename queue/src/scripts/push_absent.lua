#!lua
-- Pushes jobs whose ids are not known: one that waits, runs, is dead or has finished is left as it is, and so is one whose bid for a
-- unique key is barred.
-- KEYS[1]  base of the partition's keys
-- Named    minute, counts_kept_s (its counters)
-- More     (id, record, priority, due_ms or '', bucket of the id, bid or '',
--          tenant whose index it goes into or '') of each job
-- Reply    the positions of those that were added, from 1 on, and those of the barred, as negative numbers
local base, replies, n, absent = KEYS[1], {}, 0, {}
check(base, 'LLEN', { ':ready:0', ':ready:1', ':ready:2', ':ready:3', ':wake' })
check(base, 'ZCARD', { ':scheduled' })
check(base, 'SCARD', { ':ghosts', ':tenants' })
check(base, 'HLEN', { ':minute:' .. minute })
for at = more, #ARGV, 7 do
  local id, bucket, tenant = ARGV[at], ARGV[at + 4], ARGV[at + 6]
  if tenant ~= '' then
    check(base, 'ZCARD', { ':of:' .. tenant })
  end
  absent[id] = redis.call('HEXISTS', page(base, id), id) == 0
    and redis.call('HEXISTS', base .. ':done:' .. bucket, id) == 0
    and redis.call('EXISTS', base .. ':finished:' .. id) == 0
end
for at = more, #ARGV, 7 do
  local id, record, priority, due = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local bid, tenant = ARGV[at + 5], ARGV[at + 6]
  if not absent[id] then
    -- Left as it is.
  elseif bid ~= '' and redis.call('EXISTS', base .. ':barred:' .. bid) == 1 then
    replies[#replies + 1] = -(at + 4) / 7
  else
    absent[id] = false
    if tenant ~= '' then
      redis.call('ZADD', base .. ':of:' .. tenant, 0, id)
      redis.call('SADD', base .. ':tenants', tenant)
    end
    if due ~= '' then
      redis.call('ZADD', base .. ':scheduled', due, id)
    elseif redis.call('SREM', base .. ':ghosts', id) == 0 then
      redis.call('RPUSH', base .. ':ready:' .. priority, id)
    -- Otherwise it is in a list still: a job of this id was cancelled there, so long ago that it is not known any more.
    end
    redis.call('HSET', page(base, id), id, record)
    n = n + 1
    replies[#replies + 1] = (at + 4) / 7
  end
end
count_in(base, minute, counts_kept_s, n)
return replies
