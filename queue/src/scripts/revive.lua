#!lua
-- Makes a job ready at once that is dead, retrying, scheduled, cancelled or expired.
-- KEYS[1]  base of the partition's keys
-- ARGV     id, state that the caller saw ('dead', 'retrying', 'scheduled', 'finished'), bucket of the id, record, history or '',
--          tenant whose index it goes into or ''
-- Reply    1, or 0 when the job's state is no longer the one seen
local base, id, seen, record, history = KEYS[1], ARGV[1], ARGV[2], ARGV[4], ARGV[5]
redis.call('HLEN', page(base, id))
check(base, 'HLEN', { ':history', ':claims', ':done:' .. ARGV[3] })
check(base, 'SCARD', { ':ghosts' })
check(base, 'LLEN', { ':ready:0', ':ready:1', ':ready:2', ':ready:3', ':wake' })
if ARGV[6] ~= '' then
  check(base, 'ZCARD', { ':of:' .. ARGV[6] })
  check(base, 'SCARD', { ':tenants' })
end
if seen == 'finished' then
  if redis.call('HEXISTS', page(base, id), id) == 1 then
    return 0
  end
  local n = redis.call('HDEL', base .. ':done:' .. ARGV[3], id) + redis.call('DEL', base .. ':finished:' .. id)
  if n == 0 then
    return 0
  end
  -- The claim that ended it may still list it.
  local owner, ids, at = holder(base, id)
  if owner then
    redis.call('HSET', base .. ':claims', owner, string.sub(ids, 1, at - 1) .. string.sub(ids, at + 16))
  end
  if ARGV[6] ~= '' then
    redis.call('ZADD', base .. ':of:' .. ARGV[6], 0, id)
    redis.call('SADD', base .. ':tenants', ARGV[6])
  end
  redis.call('HSET', page(base, id), id, record)
elseif redis.call('ZREM', base .. ':' .. seen, id) == 0 then
  return 0
end
if history ~= '' then
  redis.call('HSET', base .. ':history', id, history)
end
-- A cancelled job's id may still be in its list.
if redis.call('SREM', base .. ':ghosts', id) == 0 then
  redis.call('RPUSH', base .. ':ready:' .. math.min(string.byte(record, 2) or 1, 3), id)
end
if redis.call('ZSCORE', base .. ':watched', id) then
  redis.call('PUBLISH', base .. ':events', id .. 'r')
end
wake(base)
return 1
