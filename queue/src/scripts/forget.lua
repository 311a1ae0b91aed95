#!lua flags=allow-oom
-- Takes jobs that have ended out of the indexes of their tenants.
-- KEYS[1]  base of the partition's keys
-- More     (tenant, id) of each job
-- Reply    how many were taken out: a job that has a record has not ended, or is dead, and stays
local base, n = KEYS[1], 0
for at = 1, #ARGV, 2 do
  local tenant, id = ARGV[at], ARGV[at + 1]
  if redis.call('HEXISTS', page(base, id), id) == 0 then
    n = n + redis.call('ZREM', base .. ':of:' .. tenant, id)
  end
end
return n
