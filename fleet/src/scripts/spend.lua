#!lua flags=allow-oom
-- Adds to what is spent, unless that would go over the cap.
-- KEYS[1]  a tenant's spending of one day
-- Named    micro_usd (to add), cap (or ''), kept_s (of the key)
-- Reply    { 1 or 0 when it would, spent before }
local spent = tonumber(redis.call('GET', KEYS[1]) or 0)
if cap ~= '' and spent + micro_usd > tonumber(cap) then
  return { 0, spent }
end
redis.call('INCRBY', KEYS[1], micro_usd)
redis.call('EXPIRE', KEYS[1], kept_s)
return { 1, spent }
