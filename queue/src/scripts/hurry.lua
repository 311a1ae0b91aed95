#!lua flags=allow-oom
-- Makes a scheduled job ready at once, before the others that are ready: it was at their front before.
-- KEYS[1]  base of the partition's keys
-- Named    id, due_ms (when the caller saw it due), history (or '')
-- Reply    1, or 0 when the job is no longer where it was seen
local base = KEYS[1]
local record = redis.call('HGET', page(base, id), id)
check(base, 'HLEN', { ':history' })
check(base, 'ZCARD', { ':watched' })
check(base, 'LLEN', { ':ready:0', ':ready:1', ':ready:2', ':ready:3', ':wake' })
local due = redis.call('ZSCORE', base .. ':scheduled', id)
if not record or not due or tonumber(due) ~= tonumber(due_ms) then
  return 0
end
redis.call('ZREM', base .. ':scheduled', id)
if history ~= '' then
  redis.call('HSET', base .. ':history', id, history)
end
redis.call('LPUSH', base .. ':ready:' .. math.min(string.byte(record, 2) or 1, 3), id)
if redis.call('ZSCORE', base .. ':watched', id) then
  redis.call('PUBLISH', base .. ':events', id .. 'r')
end
wake(base)
return 1
