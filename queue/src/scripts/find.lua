#!lua flags=no-writes,allow-oom
-- Finds jobs by their ids, wherever each is. Ends early when the reply gets large.
-- KEYS[1]  base of the partition's keys
-- Named    most_bytes (of records, after which the reply ends), together (so many jobs are read at a time), width_ms (of a bucket)
-- More     the id of each job
-- Reply    for each id in order, at least for the first: nothing, the record of a ready job without a history, or { state, record or
--          finished record, score_ms or claim or false, history or false, reports of a running job or false }
local base, most, bytes = KEYS[1], tonumber(most_bytes), 0
local packs = {}

-- What lies in a field with others: there it begins with its length and the id (see pack.rs).
local function unpacked(key, field, id)
  local pack = packs[key .. field] or redis.call('HGET', key, field) or ''
  packs[key .. field] = pack
  local at = 2
  while at + 20 <= #pack + 1 do
    local length = struct.unpack('<I4', pack, at)
    if string.sub(pack, at + 4, at + 19) == id then
      return string.sub(pack, at + 20, at + 19 + length)
    end
    at = at + 20 + length
  end
  return false
end

local function finished(id)
  -- The first six bytes of an id are its time.
  local a, b, c, d, e, f = string.byte(id, 1, 6)
  local created_ms = ((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f
  local key = base .. ':done:' .. string.format('%.0f', math.floor(created_ms / tonumber(width_ms)))
  local found = redis.call('HGET', key, id) or redis.call('GET', base .. ':finished:' .. id)
  if found and string.sub(found, 1, 1) == '#' then
    found = unpacked(key, found, id)
  end
  return found and { 'finished', found, false, false, false } or false
end

-- Where jobs with a record may be that are not ready, as far as there is such a thing.
local waits, with_history = {}, redis.call('EXISTS', base .. ':history') == 1
for _, state in ipairs({ 'scheduled', 'retrying', 'dead' }) do
  if redis.call('EXISTS', base .. ':' .. state) == 1 then
    waits[#waits + 1] = state
  end
end

local function find(id, i, record, scores, histories)
  local history = histories and histories[i]
  claims = claims or redis.call('HGETALL', base .. ':claims')
  if not history and #waits == 0 and #claims == 0 then
    return record
  end
  for n, state in ipairs(waits) do
    local score = scores[n][i]
    if score then
      return { state, record, score, history, false }
    end
  end
  local claim = holder(base, id)
  if claim then
    return { 'running', record, claim, history, redis.call('HGET', base .. ':progress', id) }
  end
  return history and { 'ready', record, false, history, false } or record
end

local replies, step = {}, tonumber(together)
for first = more, #ARGV, step do
  local last, scores = math.min(first + step - 1, #ARGV), {}
  local records = records_of(base, ARGV, first, last)
  for n, state in ipairs(waits) do
    scores[n] = redis.call('ZMSCORE', base .. ':' .. state, unpack(ARGV, first, last))
  end
  local histories = with_history and redis.call('HMGET', base .. ':history', unpack(ARGV, first, last))
  for i = 1, last - first + 1 do
    local id, record = ARGV[first + i - 1], records[i]
    local found = record and find(id, i, record, scores, histories) or finished(id)
    replies[#replies + 1] = found
    if type(found) == 'table' then
      bytes = bytes + #found[2] + (found[4] and #found[4] or 0)
    elseif found then
      bytes = bytes + #found
    end
    if bytes > most then
      return replies
    end
  end
end
return replies
