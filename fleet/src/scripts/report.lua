#!lua flags=allow-oom
-- Writes what came of calls to one account, once.
-- KEYS[1]  base of the account's keys
-- Named    sender, number (of the batch), now_ms, channel, account, kept_s (the state), open_ms and open_at_most_ms (how long failures
--          open it), parked_ms and parked_at_most_ms, buckets (of the window), bucket_ms, failures_at_least
-- More     thirteen for each report, in order: outcome, service, at_ms, admitted_ms, name of the probe or '', requests and units to
--          give back, ms of a pause, reason, name among the calls under way or '', and what the vendor told of the account's units:
--          how many it has or '', at most, a second
-- Reply    1, or 0 when this batch was written before
local base, now = KEYS[1], tonumber(now_ms)
local buckets, bucket_ms, failures_at_least = tonumber(buckets), tonumber(bucket_ms), tonumber(failures_at_least)
local lengths = {
  failures = { tonumber(open_ms), tonumber(open_at_most_ms) },
  parked = { tonumber(parked_ms), tonumber(parked_at_most_ms) },
}

local state = {}
local fields = redis.call('HGETALL', base .. ':state')
for i = 1, #fields, 2 do
  state[fields[i]] = fields[i + 1]
end
local batch = base .. ':batch:' .. sender
if tonumber(redis.call('GET', batch) or 0) >= tonumber(number) then
  return 0
end

local function field(name)
  return tonumber(state[name] or 0)
end

local function window(bucket)
  return base .. ':window:' .. bucket
end

local function count_in_window(at, name)
  local key = window(math.floor(at / bucket_ms))
  redis.call('HINCRBY', key, name, 1)
  redis.call('PEXPIRE', key, (buckets + 1) * bucket_ms)
end

local function fails_too_often()
  local answered, failed = 0, 0
  local last = math.floor(now / bucket_ms)
  for bucket = last - buckets + 1, last do
    local counts = redis.call('HMGET', window(bucket), 'answered', 'failed')
    answered, failed = answered + (counts[1] or 0), failed + (counts[2] or 0)
  end
  return failed >= failures_at_least and failed >= answered
end

local function tell(news)
  redis.call('PUBLISH', channel, cjson.encode(news))
end

local function open(cause, reason)
  local before, length = state.cause, lengths[cause][1]
  if before == cause then
    length = math.min(2 * field('open_ms'), lengths[cause][2])
  end
  state.cause, state.reason, state.open_ms, state.open_until = cause, reason, length, now + length
  state.probe, state.probe_until = nil, nil
  if before ~= cause then
    tell({ breaker_opened = { account = account, reason = reason } })
  end
end

local function close(service)
  state.cause, state.reason, state.open_ms, state.open_until = nil, nil, nil, nil
  state.probe, state.probe_until, state.closed_at = nil, nil, now
  local last = math.floor(now / bucket_ms)
  for bucket = last - buckets, last do
    redis.call('DEL', window(bucket))
  end
  tell({ breaker_closed = { service = service, account = account } })
end

local function give_back(name, amount)
  if state[name] and tonumber(amount) ~= 0 then
    state[name] = state[name] + tonumber(amount)
  end
end

-- What the vendor told of the units. While no other call was under way it is so. Otherwise nobody knows which of them the vendor had
-- counted, and answers may overtake each other: then it only shows that there are no more; the first time, what is under way is taken off.
local function tell_units(at, admitted, level, most, per_s)
  local others = redis.call('ZRANGEBYSCORE', base .. ':under-way', '(' .. now, '+inf')
  local known, known_at = tonumber(state.tokens), field('tokens_at')
  local is_first, was_alone = not (known and state.tokens_most), #others == 0 and field('ended_at') < admitted
  state.tokens_most, state.tokens_per_s = most, per_s
  if is_first then
    for _, name in ipairs(others) do
      level = level - math.min(tonumber(name:match(' (%d+)$') or 0), most)
    end
  elseif not was_alone then
    local later = math.max(at, known_at)
    local function refilled(left, since)
      return math.min(most, left + (later - since) * per_s / 1000)
    end
    at, level = later, math.min(refilled(known, known_at), refilled(level, at))
  end
  state.tokens, state.tokens_at = level, at
end

local function count_call(service, at, answered)
  local key = base .. ':calls:' .. math.floor(at / 60000)
  redis.call('HINCRBY', key, service .. ':all', 1)
  if answered then
    redis.call('HINCRBY', key, service .. ':answered', 1)
  end
  redis.call('EXPIRE', key, 3720)
end

for i = more, #ARGV, 13 do
  local outcome, service, at, admitted, probe, requests, units, pause, reason, under_way, level, most, per_s =
    unpack(ARGV, i, i + 12)
  at, pause = tonumber(at), tonumber(pause)
  give_back('requests', requests)
  give_back('tokens', units)
  if pause > 0 then
    state.paused_until = math.max(field('paused_until'), at + pause)
  end
  if under_way ~= '' then
    redis.call('ZREM', base .. ':under-way', under_way)
  end
  if level ~= '' then
    tell_units(at, tonumber(admitted), tonumber(level), tonumber(most), tonumber(per_s))
  end
  if under_way ~= '' then
    state.ended_at = math.max(field('ended_at'), at)
  end
  local is_probe = state.cause and probe ~= '' and state.probe == probe
  if is_probe then
    state.probe, state.probe_until = nil, nil
  end
  -- What failed of the calls that were admitted before the breaker closed says nothing about now.
  local counts = tonumber(admitted) >= field('closed_at')
  if outcome == 'answered' then
    count_in_window(at, 'answered')
    if state.cause and probe ~= '' then
      close(service)
    end
  elseif outcome == 'failed' and counts then
    count_in_window(at, 'failed')
    if is_probe or (not state.cause and fails_too_often()) then
      open('failures', reason)
    end
  elseif outcome == 'parked' and counts and (is_probe or state.cause ~= 'parked') then
    open('parked', reason)
  end
  if outcome ~= 'unused' then
    count_call(service, at, outcome == 'answered')
  end
end

local after = {}
for name, value in pairs(state) do
  after[#after + 1] = name
  after[#after + 1] = value
end
redis.call('DEL', base .. ':state')
if #after > 0 then
  redis.call('HSET', base .. ':state', unpack(after))
  redis.call('EXPIRE', base .. ':state', kept_s)
end
redis.call('SET', batch, number, 'EX', 3600)
return 1
