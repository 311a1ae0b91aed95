#!lua
-- Gives a unique key to a job, if the key is where the caller saw it.
-- KEYS[1]  the key
-- ARGV     the holder that the caller saw ('' = none), the new holder ('' = give the key back), ttl_ms
-- Reply    nothing when that was done, otherwise the present holder
local holder = redis.call('GET', KEYS[1]) or ''
if holder ~= ARGV[1] then
  return holder
end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return false
