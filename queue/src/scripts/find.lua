#!lua flags=no-writes,allow-oom
-- Finds a job by its id, wherever it is.
-- KEYS[1]  base of the partition's keys
-- ARGV     id, bucket of the id
-- Reply    { state, record or finished record, score_ms or owner, history or false, reports of a running job or false },
--          or nothing
local base, id = KEYS[1], ARGV[1]
local record = redis.call('HGET', base .. ':jobs', id)
if not record then
  local finished = redis.call('HGET', base .. ':done:' .. ARGV[2], id) or redis.call('GET', base .. ':finished:' .. id)
  return finished and { 'finished', finished, false, false, false } or false
end
local history = redis.call('HGET', base .. ':history', id)
local owner = redis.call('HGET', base .. ':running', id)
if owner then
  return { 'running', record, owner, history, redis.call('HGET', base .. ':progress', id) }
end
for _, state in ipairs({ 'scheduled', 'retrying', 'dead' }) do
  local score = redis.call('ZSCORE', base .. ':' .. state, id)
  if score then
    return { state, record, score, history, false }
  end
end
return { 'ready', record, false, history, false }
