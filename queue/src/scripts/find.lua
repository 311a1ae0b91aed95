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

-- The records of jobs; false where there is none. Most jobs that are looked for together are of one page.
local function records_of(ids)
  local number, is_one_page = string.byte(ids[1], 10), true
  for i = 2, #ids do
    is_one_page = is_one_page and string.byte(ids[i], 10) == number
  end
  if is_one_page then
    return redis.call('HMGET', page(base, ids[1]), unpack(ids))
  end
  local parts, records = {}, {}
  for i, id in ipairs(ids) do
    local number = string.byte(id, 10)
    local part = parts[number]
    if not part then
      part = { ids = {}, places = {} }
      parts[number] = part
    end
    part.ids[#part.ids + 1] = id
    part.places[#part.places + 1] = i
  end
  for _, part in pairs(parts) do
    for i, record in ipairs(redis.call('HMGET', page(base, part.ids[1]), unpack(part.ids))) do
      records[part.places[i]] = record
    end
  end
  return records
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
  local ids = { unpack(ARGV, first, math.min(first + step - 1, #ARGV)) }
  local records, scores, histories = records_of(ids), {}, nil
  for n, state in ipairs(waits) do
    scores[n] = redis.call('ZMSCORE', base .. ':' .. state, unpack(ids))
  end
  histories = with_history and redis.call('HMGET', base .. ':history', unpack(ids))
  for i, id in ipairs(ids) do
    local record = records[i]
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
