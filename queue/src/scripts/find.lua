#!lua flags=no-writes,allow-oom
-- Finds a job by its id, wherever it is.
-- KEYS[1]  base of the partition's keys
-- ARGV     id, bucket of the id
-- Reply    { state, record or finished record (or a field with those of several jobs), score_ms or owner, history or false,
--            reports of a running job or false }, or nothing
local base, id, bucket = KEYS[1], ARGV[1], KEYS[1] .. ':done:' .. ARGV[2]
local record = redis.call('HGET', base .. ':jobs', id)
if not record then
  local finished = redis.call('HGET', bucket, id) or redis.call('GET', base .. ':finished:' .. id)
  if finished and string.byte(finished) == 35 then
    -- A '#': it lies in a field with others.
    finished = redis.call('HGET', bucket, finished)
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
local owner = holder(base, id)
if owner then
  return { 'running', record, owner, history, redis.call('HGET', base .. ':progress', id) }
end
return { 'ready', record, false, history, false }
