#!lua flags=allow-oom
-- Cancels a job that waits, or marks a running one.
-- KEYS[1]  base of the partition's keys
-- ARGV     id, state that the caller saw, finished record, bucket or '' for a key of its own, ttl_ms of the bucket,
--          retention_ms (0: not kept), whether history is kept of it ('1' or '0')
-- Reply    'cancelled', the owner of a running job, or nothing when the job's state is no longer the one seen
local base, id, seen, finished, bucket = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('HEXISTS', page(base, id), id) == 0 then
  return false
end
check(base, 'SCARD', { ':cancels', ':ghosts' })
check(base, 'HLEN', { ':history', ':done:' .. bucket })
check(base, 'ZCARD', { ':watched' })
check(base, 'LLEN', { ':unrecorded' })
local owner = holder(base, id)
if seen == 'running' then
  if owner then
    redis.call('SADD', base .. ':cancels', id)
  end
  return owner
end
if owner or redis.call('ZSCORE', base .. ':dead', id) then
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
if ARGV[6] ~= '0' then
  if bucket == '' then
    redis.call('SET', base .. ':finished:' .. id, finished, 'PX', ARGV[6])
  else
    local key = base .. ':done:' .. bucket
    local new = redis.call('EXISTS', key) == 0
    redis.call('HSET', key, id, finished)
    if new then
      redis.call('PEXPIRE', key, ARGV[5])
    end
  end
end
if ARGV[7] == '1' and redis.call('RPUSH', base .. ':unrecorded', id) > 1000000 then
  redis.call('LTRIM', base .. ':unrecorded', -1000000, -1)
end
if redis.call('ZSCORE', base .. ':watched', id) then
  redis.call('PUBLISH', base .. ':events', id .. 'c')
end
return 'cancelled'
