#!lua flags=no-writes,allow-oom
-- Finds jobs by their ids, wherever each is. Ends early when the reply gets large.
-- KEYS[1]  base of the partition's keys
-- Named    most_bytes (of records, after which the reply ends)
-- More     (id, bucket of the id) of each job
-- Reply    for each id in order, at least for the first: nothing, or { state, record or finished record, score_ms or claim or
--          false, history or false, reports of a running job or false }
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

local function find(id, bucket)
  local record = redis.call('HGET', page(base, id), id)
  if not record then
    local key = base .. ':done:' .. bucket
    local finished = redis.call('HGET', key, id) or redis.call('GET', base .. ':finished:' .. id)
    if finished and string.sub(finished, 1, 1) == '#' then
      finished = unpacked(key, finished, id)
    end
    return finished and { 'finished', finished, false, false, false } or false
  end
  local history = redis.call('HGET', base .. ':history', id)
  for _, state in ipairs({ 'scheduled', 'retrying', 'dead' }) do
    local score = redis.call('ZSCORE', base .. ':' .. state, id)
    if score then
      return { state, record, score, history, false }
    end
  end
  local claim = holder(base, id)
  if claim then
    return { 'running', record, claim, history, redis.call('HGET', base .. ':progress', id) }
  end
  return { 'ready', record, false, history, false }
end

local replies, n = {}, 0
for at = more, #ARGV, 2 do
  local found = find(ARGV[at], ARGV[at + 1])
  n = n + 1
  replies[n] = found
  if found then
    bytes = bytes + #found[2] + (found[4] and #found[4] or 0)
    if bytes > most then
      break
    end
  end
end
return replies
