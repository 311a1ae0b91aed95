#!lua flags=no-writes,allow-oom
-- Finds many jobs by their ids, wherever each is: what find does, for a batch. Ends early when the reply gets large.
-- KEYS[1]  base of the partition's keys
-- ARGV     bytes of records after which the reply ends, then (id, bucket of the id) of each job
-- Reply    for each id in order, at least for the first: what find replies, or nothing
local base, most, bytes = KEYS[1], tonumber(ARGV[1]), 0

local function find(id, bucket)
  local record = redis.call('HGET', base .. ':jobs', id)
  if not record then
    local finished = redis.call('HGET', base .. ':done:' .. bucket, id) or redis.call('GET', base .. ':finished:' .. id)
    return finished and { 'finished', finished, false, false } or false
  end
  local history = redis.call('HGET', base .. ':history', id)
  local owner = redis.call('HGET', base .. ':running', id)
  if owner then
    return { 'running', record, owner, history }
  end
  for _, state in ipairs({ 'scheduled', 'retrying', 'dead' }) do
    local score = redis.call('ZSCORE', base .. ':' .. state, id)
    if score then
      return { state, record, score, history }
    end
  end
  return { 'ready', record, false, history }
end

local replies, n = {}, 0
for at = 2, #ARGV, 2 do
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
