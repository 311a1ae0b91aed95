#!lua
-- Pushes jobs whose ids are not known: one that waits, runs, is dead or has finished is left as it is.
-- KEYS[1]  base of the partition's keys
-- ARGV     minute, seconds for which its counters are kept, then (id, record, priority, due_ms or '', bucket of the id) of each job
-- Reply    the positions of those that were added, from 1 on
local base, added = KEYS[1], {}
check(base, 'LLEN', { ':ready:0', ':ready:1', ':ready:2', ':ready:3', ':wake' })
check(base, 'ZCARD', { ':scheduled' })
for at = 3, #ARGV, 5 do
  local id, record, priority, due, bucket = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local known = redis.call('HEXISTS', page(base, id), id) == 1
    or redis.call('HEXISTS', base .. ':done:' .. bucket, id) == 1
    or redis.call('EXISTS', base .. ':finished:' .. id) == 1
  if not known then
    if due == '' then
      redis.call('RPUSH', base .. ':ready:' .. priority, id)
    else
      redis.call('ZADD', base .. ':scheduled', due, id)
    end
    redis.call('HSET', page(base, id), id, record)
    added[#added + 1] = (at + 2) / 5
  end
end
if #added > 0 then
  redis.call('RPUSH', base .. ':wake', 1)
  redis.call('LTRIM', base .. ':wake', 0, 0)
  local counts = base .. ':minute:' .. ARGV[1]
  redis.call('HINCRBY', counts, 'in', #added)
  redis.call('EXPIRE', counts, ARGV[2])
end
return added
