#!lua flags=allow-oom
-- Looks after one partition: finds expired leases, frees what is past its time, tells whether work waits.
-- KEYS[1]  base of the partition's keys
-- ARGV     now_ms, first and last bucket to free, oldest death_ms that is kept, whether to reclaim ('1' or '0')
-- Reply    { server time_ms, next lease end_ms or -1, 1 if a claim would find work or a due time,
--            ids, owners and histories (false = none) of the jobs whose lease has expired }
local base, now, reclaim = KEYS[1], tonumber(ARGV[1]), ARGV[5] == '1'
local jobs, history, dead, leases = base .. ':jobs', base .. ':history', base .. ':dead', base .. ':leases'

for bucket = tonumber(ARGV[2]), tonumber(ARGV[3]) do
  redis.call('UNLINK', base .. ':done:' .. bucket)
end
local old = redis.call('ZRANGEBYSCORE', dead, '-inf', ARGV[4], 'LIMIT', 0, 500)
if #old > 0 then
  redis.call('ZREM', dead, unpack(old))
  redis.call('HDEL', jobs, unpack(old))
  redis.call('HDEL', history, unpack(old))
end
redis.call('ZREMRANGEBYSCORE', base .. ':watched', '-inf', now)

local ids, owners, histories = {}, {}, {}
if reclaim then
  local expired, n_expired = {}, 0
  for _, owner in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 200)) do
    expired[owner] = 0
    n_expired = n_expired + 1
  end
  if n_expired > 0 then
    -- Whole, but only after a worker died, and never larger than what all workers hold.
    local running = redis.call('HGETALL', base .. ':running')
    for i = 1, #running, 2 do
      local owner = running[i + 1]
      if expired[owner] and #ids < 1000 then
        ids[#ids + 1] = running[i]
        owners[#owners + 1] = owner
      end
      if expired[owner] then
        expired[owner] = expired[owner] + 1
      end
    end
    for owner, n in pairs(expired) do
      if n == 0 then
        redis.call('ZREM', leases, owner)
      end
    end
    if #ids > 0 then
      histories = redis.call('HMGET', history, unpack(ids))
    end
  end
end

local work = redis.call('EXISTS', base .. ':ready:0', base .. ':ready:1', base .. ':ready:2', base .. ':ready:3',
  base .. ':suspects', base .. ':scheduled', base .. ':retrying')
local next_end = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')[2]
local time = redis.call('TIME')
return {
  tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000),
  next_end and tonumber(next_end) or -1,
  math.min(work, 1), ids, owners, histories,
}
