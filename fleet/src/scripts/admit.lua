#!lua flags=allow-oom
-- Whether a call to an account may be made now: breaker, pause, limits. What is granted is taken at once.
-- KEYS[1]  base of the account's keys
-- Named    now_ms, requests_per_min (0: no limit), units_needed, units_per_min (0: no limit), name (of the call), under_way (the
--          same among those that are under way, with its units behind a blank; '': these are not counted), at_most (that are under
--          way; 0: no limit), lasts_ms (after which it counts as ended), probe_lease_ms, ask_again_ms (after which others ask again
--          while a probe is under way), kept_s (the state)
-- Reply    { 'go' or 'probe', units taken } | { 'wait', ms } | { 'full' } | { 'open', ms, reason }
local state, now = KEYS[1] .. ':state', tonumber(now_ms)
local fields = redis.call('HMGET', state, 'cause', 'open_until', 'reason', 'probe_until', 'paused_until', 'requests',
  'requests_at', 'tokens', 'tokens_at', 'tokens_most', 'tokens_per_s')
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

-- What is left in a bucket that is full at first and gets so many in so many milliseconds, how much is taken of it, and how long it
-- takes until there is enough.
local function look(left, at, need, most, gets, in_ms)
  if most == 0 then
    return nil, 0, 0
  end
  if left then
    left = math.min(most, left + math.max(0, now - at) * gets / in_ms)
  else
    left = most
  end
  need = math.min(need, most)
  local missing = need - left
  -- It may be off by a rounding error.
  return left, need, missing > 1e-6 and math.ceil(missing * in_ms / gets) or 0
end

local requests_per_min, units_per_min = tonumber(requests_per_min), tonumber(units_per_min)
local requests, _, requests_wait = look(tonumber(fields[6] or nil), tonumber(fields[7] or 0), 1, requests_per_min,
  requests_per_min, 60000)
-- In Redis units are called tokens, as they were at first. What the vendor told of them goes before what we were told.
local most, gets, in_ms = units_per_min, units_per_min, 60000
if fields[10] then
  most, gets, in_ms = tonumber(fields[10]), math.max(1, tonumber(fields[11])), 1000
end
local units, need, units_wait = look(tonumber(fields[8] or nil), tonumber(fields[9] or 0), tonumber(units_needed), most,
  gets, in_ms)
local wait = math.max(requests_wait, units_wait)
if wait > 0 then
  return { 'wait', wait }
end

local all_under_way = KEYS[1] .. ':under-way'
if tonumber(at_most) > 0 then
  redis.call('ZREMRANGEBYSCORE', all_under_way, '-inf', now)
  if redis.call('ZCARD', all_under_way) >= tonumber(at_most) then
    return { 'full' }
  end
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
if under_way ~= '' then
  redis.call('ZADD', all_under_way, now + tonumber(lasts_ms), under_way)
  redis.call('PEXPIRE', all_under_way, math.max(redis.call('PTTL', all_under_way), tonumber(lasts_ms)))
end
return { cause and 'probe' or 'go', need }
