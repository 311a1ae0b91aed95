#!lua
-- Adds jobs to one partition, all or none. Refused at maxmemory before anything is written.
-- KEYS[1]  base of the partition's keys
-- ARGV     now_ms, minute, n0, n1, n2, n3 (ready jobs by priority), n_scheduled,
--          (id, record) of all jobs, ids by priority, (due_ms, id) of the scheduled ones
-- Reply    number of jobs added
local base, now, minute = KEYS[1], tonumber(ARGV[1]), ARGV[2]
local n_scheduled = tonumber(ARGV[7])
local n_ready = 0
for priority = 0, 3 do
  n_ready = n_ready + tonumber(ARGV[3 + priority])
end
local n = n_ready + n_scheduled
local at = 8

redis.call('HSET', base .. ':jobs', unpack(ARGV, at, at + 2 * n - 1))
at = at + 2 * n
for priority = 0, 3 do
  local n_here = tonumber(ARGV[3 + priority])
  if n_here > 0 then
    redis.call('RPUSH', base .. ':ready:' .. priority, unpack(ARGV, at, at + n_here - 1))
    at = at + n_here
  end
end

local wake = n_ready > 0
if n_scheduled > 0 then
  local first = redis.call('ZRANGE', base .. ':scheduled', 0, 0, 'WITHSCORES')[2]
  redis.call('ZADD', base .. ':scheduled', unpack(ARGV, at, at + 2 * n_scheduled - 1))
  local earliest = redis.call('ZRANGE', base .. ':scheduled', 0, 0, 'WITHSCORES')[2]
  -- A fetcher sleeps until the earliest time it knows: an earlier one has to be told.
  wake = wake or not first or tonumber(earliest) < tonumber(first)
end
if wake and redis.call('EXISTS', base .. ':wake') == 0 then
  redis.call('RPUSH', base .. ':wake', '1')
end

local counts = base .. ':minute:' .. minute
if redis.call('HINCRBY', counts, 'in', n) == n then
  redis.call('EXPIRE', counts, 7200)
end
return n
