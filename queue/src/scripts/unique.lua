#!lua
-- Changes a unique or idempotency key, if it is as the caller saw it.
-- KEYS[1]  the key
-- Named    seen (by the caller, '': nothing), new (what shall stand there, '': nothing), ttl_ms ('': as long as before)
-- Reply    nothing when that was done, otherwise what stands there
local present = redis.call('GET', KEYS[1]) or ''
if present ~= seen then
  return present
end
if new == '' then
  redis.call('DEL', KEYS[1])
elseif ttl_ms == '' then
  redis.call('SET', KEYS[1], new, 'KEEPTTL')
else
  redis.call('SET', KEYS[1], new, 'PX', ttl_ms)
end
return false
