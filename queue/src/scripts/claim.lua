#!lua flags=allow-oom
-- Makes due jobs ready, then hands up to `want` ready jobs to one owner under a lease.
-- KEYS[1]  base of the partition's keys
-- ARGV     owner, want (at most 1000), now_ms, lease_end_ms, newest envelope version that the worker reads,
--          order of the priorities ('0123'), whether a suspect may be taken ('1' or '0')
-- Reply    { next due_ms or -1, 1 if the first job is a suspect, 1 if ready jobs are left, ids, records,
--            histories (false = none; empty when no job has any) }
local base = KEYS[1]
local owner, want, now, lease_end = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local version, order, take_suspect = tonumber(ARGV[5]), ARGV[6], ARGV[7] == '1'
local jobs = base .. ':jobs'

if redis.call('EXISTS', base .. ':paused') == 1 then
  redis.call('DEL', base .. ':wake')
  return { -1, 0, 0, {}, {}, {} }
end

local next_due = -1
for _, waiting in ipairs({ base .. ':scheduled', base .. ':retrying' }) do
  local due = redis.call('ZRANGEBYSCORE', waiting, '-inf', now, 'LIMIT', 0, 500)
  if #due > 0 then
    redis.call('ZREM', waiting, unpack(due))
    local records = redis.call('HMGET', jobs, unpack(due))
    for i, id in ipairs(due) do
      -- The second byte of a record is its priority; a damaged one must not lose the job.
      local priority = records[i] and string.byte(records[i], 2) or 1
      redis.call('RPUSH', base .. ':ready:' .. math.min(priority, 3), id)
    end
  end
  local first = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')[2]
  if first and (next_due < 0 or tonumber(first) < next_due) then
    next_due = tonumber(first)
  end
end

local ids, suspect = {}, 0
if take_suspect and want > 0 then
  local id = redis.call('LPOP', base .. ':suspects')
  if id then
    ids[1] = id
    suspect = 1
  end
end
for priority in string.gmatch(order, '%d') do
  if #ids < want then
    local got = redis.call('LPOP', base .. ':ready:' .. priority, want - #ids)
    if got then
      if #ids == 0 then
        ids = got
      else
        for i = 1, #got do
          ids[#ids + 1] = got[i]
        end
      end
    end
  end
end

local left = 0
for priority = 0, 3 do
  if redis.call('EXISTS', base .. ':ready:' .. priority) == 1 then
    left = 1
  end
end
if left == 0 then
  redis.call('DEL', base .. ':wake')
elseif redis.call('EXISTS', base .. ':wake') == 0 then
  redis.call('RPUSH', base .. ':wake', '1')
end
if #ids == 0 then
  return { next_due, 0, left, {}, {}, {} }
end

local records = redis.call('HMGET', jobs, unpack(ids))
local taken, taken_records, owned = {}, {}, {}
for i = 1, #ids do
  local id, record = ids[i], records[i]
  if not record then
    -- Cancelled while it was ready: only its id was still in the list.
    redis.call('SREM', base .. ':ghosts', id)
    if i == 1 then suspect = 0 end
  elseif string.byte(record, 1) > version and #record >= 8 then
    -- A newer release wrote it: kept aside for a worker that can read it.
    redis.call('RPUSH', base .. ':held', id)
    if i == 1 then suspect = 0 end
  else
    local k = #taken + 1
    taken[k] = id
    taken_records[k] = record
    owned[2 * k - 1] = id
    owned[2 * k] = owner
  end
end
if #taken == 0 then
  return { next_due, 0, left, {}, {}, {} }
end
redis.call('HSET', base .. ':running', unpack(owned))
redis.call('ZADD', base .. ':leases', lease_end, owner)
if redis.call('EXISTS', base .. ':watched') == 1 then
  for _, id in ipairs(taken) do
    if redis.call('ZSCORE', base .. ':watched', id) then
      redis.call('PUBLISH', base .. ':events', id .. 'r')
    end
  end
end
local histories = {}
if redis.call('EXISTS', base .. ':history') == 1 then
  histories = redis.call('HMGET', base .. ':history', unpack(taken))
end
return { next_due, suspect, left, taken, taken_records, histories }
