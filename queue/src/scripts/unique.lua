#!lua
-- Changes unique or idempotency keys, each if it is as the caller saw it.
-- KEYS     the keys, all of one slot in a cluster
-- More     (seen (by the caller, '': nothing), new (what shall stand there, '': nothing), ttl_ms ('': as long as before)) of each key
-- Reply    for each key: nothing when that was done, otherwise what stands there; { text } of the error when it cannot be looked at
local replies = {}
for i, key in ipairs(KEYS) do
  local at = more + (i - 1) * 3
  local seen, new, ttl_ms = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  -- One damaged key holds up no other.
  local present = redis.pcall('GET', key) or ''
  if type(present) == 'table' then
    replies[i] = { present.err }
  elseif present ~= seen then
    replies[i] = present
  else
    if new == '' then
      redis.call('DEL', key)
    elseif ttl_ms == '' then
      redis.call('SET', key, new, 'KEEPTTL')
    else
      redis.call('SET', key, new, 'PX', ttl_ms)
    end
    replies[i] = false
  end
end
return replies
