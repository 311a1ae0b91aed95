#!lua flags=allow-oom
-- Gives the jobs back that a worker of an older release put aside.
-- KEYS[1]  base of the partition's keys
-- ARGV     newest envelope version that the worker reads
-- Reply    how many are ready again
local base, n = KEYS[1], 0
check(base, 'SCARD', { ':ghosts' })
check(base, 'LLEN', { ':ready:0', ':ready:1', ':ready:2', ':ready:3', ':wake' })
for _ = 1, redis.call('LLEN', base .. ':held') do
  local id = redis.call('LINDEX', base .. ':held', 0)
  local record = redis.call('HGET', page(base, id), id)
  redis.call('LPOP', base .. ':held')
  if record and (string.byte(record, 1) or 0) > tonumber(ARGV[1]) then
    redis.call('RPUSH', base .. ':held', id)
  elseif record then
    redis.call('LPUSH', base .. ':ready:' .. math.min(string.byte(record, 2) or 1, 3), id)
    n = n + 1
  else
    redis.call('SREM', base .. ':ghosts', id)
  end
end
if n > 0 and redis.call('EXISTS', base .. ':wake') == 0 then
  redis.call('RPUSH', base .. ':wake', '1')
end
return n
