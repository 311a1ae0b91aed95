#!lua flags=allow-oom
-- Renews the lease of a concurrency key's lock, also when nobody has it.
-- KEYS[1]  lock of the key
-- Named    id, claim, lease_end_ms, kept_ms (of the lock's record)
-- Reply    1, or 0 when another has it, or another run of the same job
local lock = KEYS[1]
local has = redis.call('HMGET', lock, 'id', 'claim')
if has[1] and (has[1] ~= id or has[2] ~= claim) then
  return 0
end
redis.call('HSET', lock, 'id', id, 'claim', claim, 'lease_end_ms', lease_end_ms)
redis.call('PEXPIRE', lock, kept_ms)
return 1
