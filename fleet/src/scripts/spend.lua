#!lua flags=allow-oom
-- Adds to what is spent, unless that would go over the cap.
-- KEYS[1]  a tenant's spending of one day
-- ARGV     micro-USD to add, cap or '', seconds that the key is kept
-- Reply    { 1 or 0 when it would, spent before }
local spent = tonumber(redis.call('GET', KEYS[1]) or 0)
if ARGV[2] ~= '' and spent + ARGV[1] > tonumber(ARGV[2]) then
  return { 0, spent }
end
redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return { 1, spent }
