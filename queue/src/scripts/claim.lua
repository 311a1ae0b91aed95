#!lua flags=allow-oom
-- Makes due jobs ready, then hands up to `want` ready jobs to one claim, under a lease.
-- KEYS[1]  base of the partition's keys
-- Named    claim, want (at most 1000, less as many as are due now), now_ms, lease_end_ms, order (of the priorities, '0123'), take_suspect
--          ('1' or '0': it comes by itself), most_records (so many jobs come with their records: more are read faster outside)
-- Reply    { next due_ms or -1, 1 if the only job is a suspect or 2 if suspects wait for a replica without other jobs, 1 if more
--            could be claimed, 1 if a job may have a history,
--            the ids in one string, records and histories (false = none; both empty when there are too many jobs) }
local base = KEYS[1]
local want, now, take_suspect = tonumber(want), tonumber(now_ms), take_suspect == '1'
local ghosts = base .. ':ghosts'

if redis.call('EXISTS', base .. ':paused') == 1 then
  redis.call('DEL', base .. ':wake')
  return { -1, 0, 0, 0, '', {}, {} }
end

check(base, 'LLEN', { ':suspects', ':ready:0', ':ready:1', ':ready:2', ':ready:3', ':wake' })
check(base, 'HLEN', { ':claims', ':left', ':history' })
check(base, 'ZCARD', { ':leases', ':scheduled', ':retrying', ':watched' })
check(base, 'SCARD', { ':ghosts' })
local next_due, n_due = -1, 0
for _, waiting in ipairs({ base .. ':scheduled', base .. ':retrying' }) do
  local due = redis.call('ZRANGEBYSCORE', waiting, '-inf', now, 'LIMIT', 0, 250)
  n_due = n_due + #due
  if #due > 0 then
    local priorities = {}
    for i, id in ipairs(due) do
      -- The second byte of a record is its priority; a damaged one must not lose the job.
      local record = redis.call('HGET', page(base, id), id)
      priorities[i] = math.min(record and string.byte(record, 2) or 1, 3)
    end
    redis.call('ZREM', waiting, unpack(due))
    for i, id in ipairs(due) do
      redis.call('RPUSH', base .. ':ready:' .. priorities[i], id)
    end
  end
  local first = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')[2]
  if first and (next_due < 0 or tonumber(first) < next_due) then
    next_due = tonumber(first)
  end
end

want = math.min(want, 1000 - n_due)
local ids, suspect = {}, 0
if take_suspect and want > 0 then
  local id = redis.call('LPOP', base .. ':suspects')
  if id then
    ids[1] = id
    suspect = 1
  end
end
for priority in string.gmatch(order, '%d') do
  if suspect == 0 and #ids < want then
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
if #ids > 0 and redis.call('EXISTS', ghosts) == 1 then
  -- Cancelled while they were ready: only their ids were still in the lists.
  local cancelled = redis.call('SMISMEMBER', ghosts, unpack(ids))
  redis.call('SREM', ghosts, unpack(ids))
  local waiting = {}
  for i = 1, #ids do
    if cancelled[i] == 0 then
      waiting[#waiting + 1] = ids[i]
    elseif i == 1 then
      suspect = 0
    end
  end
  ids = waiting
end

local left = 0
if redis.call('EXISTS', base .. ':suspects') == 1 then
  if take_suspect then
    left = 1
  elseif suspect == 0 then
    suspect = 2
  end
end
for priority = 0, 3 do
  if redis.call('EXISTS', base .. ':ready:' .. priority) == 1 then
    left = 1
  end
end
if left == 0 then
  redis.call('DEL', base .. ':wake')
else
  wake(base)
end
if #ids == 0 then
  return { next_due, suspect, left, 0, '', {}, {} }
end

local claimed = table.concat(ids)
redis.call('HSET', base .. ':claims', claim, claimed)
redis.call('HSET', base .. ':left', claim, #ids)
redis.call('ZADD', base .. ':leases', lease_end_ms, claim)
if redis.call('EXISTS', base .. ':watched') == 1 then
  for i = 1, #ids do
    if redis.call('ZSCORE', base .. ':watched', ids[i]) then
      redis.call('PUBLISH', base .. ':events', ids[i] .. 'r')
    end
  end
end
local with_history = redis.call('EXISTS', base .. ':history')
local records, histories = {}, {}
if #ids <= tonumber(most_records) then
  for i, id in ipairs(ids) do
    -- After the first pop nothing may fail any more: what cannot be read here is read again outside, and fails there.
    local record = redis.pcall('HGET', page(base, id), id)
    if type(record) == 'table' then
      records = {}
      break
    end
    records[i] = record
  end
  if with_history == 1 and #records > 0 then
    histories = redis.call('HMGET', base .. ':history', unpack(ids))
  end
end
return { next_due, suspect, left, with_history, claimed, records, histories }
