#!lua flags=allow-oom
-- Whether a call to an account may be made now: breaker, pause, limits. What is granted is taken at once.
-- KEYS[1]  base of the account's keys
-- Named    now_ms, requests_per_min (0: no limit), units_needed, units_per_min (0: no limit), name (of the call),
--          probe_lease_ms, ask_again_ms (after which others ask again while a probe is under way), kept_s (the state)
-- Reply    { 'go' } | { 'probe' } | { 'wait', ms } | { 'open', ms, reason }
local state, now = KEYS[1] .. ':state', tonumber(now_ms)
local fields = redis.call('HMGET', state, 'cause', 'open_until', 'reason', 'probe_until', 'paused_until', 'requests',
  'requests_at', 'tokens', 'tokens_at')
local cause, reason = fields[1], fields[3]
local open_until, probe_until = tonumber(fields[2] or 0), tonumber(fields[4] or 0)

if cause then
  local wait = open_until - now
  if wait <= 0 then
    wait = math.min(probe_until - now, tonumber(ask_again_ms))
  end
  if wait > 0 then
    return { 'open', wait, reason }
  end
end

local pause = tonumber(fields[5] or 0) - now
if pause > 0 then
  return { 'wait', pause }
end

-- What is left in a bucket that is full at first, and how long it takes until there is enough.
local function look(left, at, need, per_min)
  if per_min == 0 then
    return nil, 0
  end
  if left then
    left = math.min(per_min, left + math.max(0, now - at) * per_min / 60000)
  else
    left = per_min
  end
  local missing = need - left
  -- It may be off by a rounding error.
  return left, missing > 1e-6 and math.ceil(missing * 60000 / per_min) or 0
end

local need = tonumber(units_needed)
local requests, requests_wait = look(tonumber(fields[6] or nil), tonumber(fields[7] or 0), 1, tonumber(requests_per_min))
-- In Redis units are called tokens, as they were at first.
local units, units_wait = look(tonumber(fields[8] or nil), tonumber(fields[9] or 0), need, tonumber(units_per_min))
local wait = math.max(requests_wait, units_wait)
if wait > 0 then
  return { 'wait', wait }
end

local changes = {}
if requests then
  changes = { 'requests', requests - 1, 'requests_at', now }
end
if units then
  changes[#changes + 1] = 'tokens'
  changes[#changes + 1] = units - need
  changes[#changes + 1] = 'tokens_at'
  changes[#changes + 1] = now
end
if cause then
  changes[#changes + 1] = 'probe'
  changes[#changes + 1] = name
  changes[#changes + 1] = 'probe_until'
  changes[#changes + 1] = now + tonumber(probe_lease_ms)
end
if #changes > 0 then
  redis.call('HSET', state, unpack(changes))
  redis.call('EXPIRE', state, kept_s)
end
return { cause and 'probe' or 'go' }
