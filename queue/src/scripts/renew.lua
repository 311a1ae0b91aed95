#!lua flags=allow-oom
-- Extends the leases that their owners still hold.
-- KEYS[1]  base of the partition's keys
-- ARGV     lease_end_ms, owners
-- Reply    { owners whose lease is lost, ids of running jobs that are to stop: any 1000 of them where there are more }
local leases, lease_end = KEYS[1] .. ':leases', ARGV[1]
local lost = {}
for i = 2, #ARGV do
  if redis.call('ZSCORE', leases, ARGV[i]) then
    redis.call('ZADD', leases, lease_end, ARGV[i])
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return { lost, redis.call('SRANDMEMBER', KEYS[1] .. ':cancels', 1000) }
