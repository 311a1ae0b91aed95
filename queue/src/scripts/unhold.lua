#!lua flags=allow-oom
-- Gives jobs back that a worker of an older release put aside: those at the head of the list. Those that are still too new go to its end.
-- KEYS[1]  base of the partition's keys
-- Named    newest (envelope version that the worker reads), most (to look at)
-- Reply    { how many are ready again, how many were looked at, how many there were }
local base, held = KEYS[1], KEYS[1] .. ':held'
check(base, 'SCARD', { ':ghosts' })
check(base, 'LLEN', { ':ready:0', ':ready:1', ':ready:2', ':ready:3', ':wake' })
local there, ready = redis.call('LLEN', held), 0
local n = math.min(there, tonumber(most))
for _ = 1, n do
  local id = redis.call('LINDEX', held, 0)
  local record = redis.call('HGET', page(base, id), id)
  redis.call('LPOP', held)
  if record and (string.byte(record, 1) or 0) > tonumber(newest) then
    redis.call('RPUSH', base .. ':held', id)
  elseif record then
    redis.call('LPUSH', base .. ':ready:' .. math.min(string.byte(record, 2) or 1, 3), id)
    ready = ready + 1
  else
    redis.call('SREM', base .. ':ghosts', id)
  end
end
if ready > 0 then
  wake(base)
end
return { ready, n, there }
