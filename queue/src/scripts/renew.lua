#!lua flags=allow-oom
-- Extends the leases of those claims that still have one.
-- KEYS[1]  base of the partition's keys
-- Named    lease_end_ms
-- More     claims
-- Reply    { claims whose lease is lost, ids of running jobs that are to stop: any 1000 of them where there are more }
local leases = KEYS[1] .. ':leases'
local lost = {}
for i = more, #ARGV do
  if redis.call('ZSCORE', leases, ARGV[i]) then
    redis.call('ZADD', leases, lease_end_ms, ARGV[i])
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return { lost, redis.call('SRANDMEMBER', KEYS[1] .. ':cancels', 1000) }
