#!lua flags=allow-oom
-- Takes of what a tenant may still enqueue on a day as much as is left, or gives back.
-- KEYS[1]  how many jobs of the tenant count on that day
-- Named    n (wanted; below 0: given back), most, kept_s (of the key)
-- Reply    how many were taken
local count = tonumber(redis.call('GET', KEYS[1]) or 0)
local taken = math.max(tonumber(n), -count)
if taken > 0 then
  taken = math.max(math.min(taken, tonumber(most) - count), 0)
end
if taken ~= 0 then
  redis.call('INCRBY', KEYS[1], taken)
  redis.call('EXPIRE', KEYS[1], kept_s)
end
return taken
