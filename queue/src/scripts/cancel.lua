#!lua flags=allow-oom
-- Cancels a job that waits, or marks a running one.
-- KEYS[1]  base of the partition's keys
-- Named    id, seen (the state that the caller saw), finished (its record), bucket ('': a key of its own), ttl_ms (of the bucket),
--          retention_ms (0: not kept), keeps_history ('1' or '0')
-- Reply    'cancelled', the claim that has a running job, or nothing when the job's state is no longer the one seen
local base = KEYS[1]
if redis.call('HEXISTS', page(base, id), id) == 0 then
  return false
end
check(base, 'SCARD', { ':cancels', ':ghosts' })
check(base, 'HLEN', { ':history', ':done:' .. bucket })
check(base, 'ZCARD', { ':watched' })
check(base, 'LLEN', { ':unrecorded' })
local claim = holder(base, id)
if seen == 'running' then
  if claim then
    redis.call('SADD', base .. ':cancels', id)
  end
  return claim
end
if claim or redis.call('ZSCORE', base .. ':dead', id) then
  return false
end
if seen == 'ready' then
  if redis.call('ZSCORE', base .. ':scheduled', id) or redis.call('ZSCORE', base .. ':retrying', id) then
    return false
  end
  -- Its id stays in the list, whose middle cannot be reached cheaply; the claim that meets it drops it.
  redis.call('SADD', base .. ':ghosts', id)
elseif redis.call('ZREM', base .. ':' .. seen, id) == 0 then
  return false
end
redis.call('HDEL', page(base, id), id)
redis.call('HDEL', base .. ':history', id)
if retention_ms ~= '0' then
  if bucket == '' then
    redis.call('SET', base .. ':finished:' .. id, finished, 'PX', retention_ms)
  else
    local key = base .. ':done:' .. bucket
    local new = redis.call('EXISTS', key) == 0
    redis.call('HSET', key, id, finished)
    if new then
      redis.call('PEXPIRE', key, ttl_ms)
    end
  end
end
if keeps_history == '1' and redis.call('RPUSH', base .. ':unrecorded', id) > 1000000 then
  redis.call('LTRIM', base .. ':unrecorded', -1000000, -1)
end
if redis.call('ZSCORE', base .. ':watched', id) then
  redis.call('PUBLISH', base .. ':events', id .. 'c')
end
return 'cancelled'
