#!lua
-- Makes a job ready at once that is dead, retrying, scheduled, cancelled or expired.
-- KEYS[1]  base of the partition's keys
-- Named    id, seen (the state that the caller saw: 'dead', 'retrying', 'scheduled', 'finished'), bucket (of the id), record,
--          history (or ''), tenant (whose index it goes into, or '')
-- Reply    1, or 0 when the job's state is no longer the one seen
local base = KEYS[1]
redis.call('HLEN', page(base, id))
check(base, 'HLEN', { ':history', ':claims', ':done:' .. bucket })
check(base, 'SCARD', { ':ghosts' })
check(base, 'LLEN', { ':ready:0', ':ready:1', ':ready:2', ':ready:3', ':wake' })
if tenant ~= '' then
  check(base, 'ZCARD', { ':of:' .. tenant })
  check(base, 'SCARD', { ':tenants' })
end
if seen == 'finished' then
  if redis.call('HEXISTS', page(base, id), id) == 1 then
    return 0
  end
  local n = redis.call('HDEL', base .. ':done:' .. bucket, id) + redis.call('DEL', base .. ':finished:' .. id)
  if n == 0 then
    return 0
  end
  -- The claim that ended it may still list it.
  local claim, ids, at = holder(base, id)
  if claim then
    redis.call('HSET', base .. ':claims', claim, string.sub(ids, 1, at - 1) .. string.sub(ids, at + 16))
  end
  if tenant ~= '' then
    redis.call('ZADD', base .. ':of:' .. tenant, 0, id)
    redis.call('SADD', base .. ':tenants', tenant)
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
