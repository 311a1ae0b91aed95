#!lua
-- Changes a unique or idempotency key, if it is as the caller saw it.
-- KEYS[1]  the key
-- ARGV     what the caller saw ('' = nothing), what shall stand there ('' = nothing), ttl_ms ('' = as long as before)
-- Reply    nothing when that was done, otherwise what stands there
local present = redis.call('GET', KEYS[1]) or ''
if present ~= ARGV[1] then
  return present
end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
elseif ARGV[3] == '' then
  redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return false
