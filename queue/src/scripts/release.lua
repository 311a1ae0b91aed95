#!lua flags=allow-oom
-- Takes running jobs out of their claims and puts them where they wait next, or ends them.
-- KEYS[1]  base of the partition's keys
-- Named    now_ms, minute, most_dead (how many are kept), retention_ms, keeps_history (of those that end, '1' or '0')
-- More     for each job (id, claim, to, due_ms, history; an empty history leaves what is stored)
--          to: 'retrying', 'scheduled', 'dead', 'ready' (to the front), 'suspect', 'held',
--              'cancelled' (with the finished record in the place of the history), 'gone' (its record is not there)
-- Reply    { positions refused because their lease is lost, positions left running because someone cancelled them, the records
--            and the stored histories of these }; positions count from 1
local base = KEYS[1]
local history, dead = base .. ':history', base .. ':dead'
local claims, left = base .. ':claims', base .. ':left'
local refused, cancelled, records, histories = {}, {}, {}, {}
local wakes, n_dead, ended = false, 0, {}
local reported = redis.call('EXISTS', base .. ':progress') == 1
local watched = redis.call('EXISTS', base .. ':watched') == 1

check(base, 'HLEN', { ':claims', ':left', ':history', ':progress', ':minute:' .. minute })
check(base, 'ZCARD', { ':leases', ':scheduled', ':retrying', ':dead', ':watched' })
check(base, 'SCARD', { ':cancels' })
check(base, 'LLEN', { ':suspects', ':held', ':ready:0', ':ready:1', ':ready:2', ':ready:3', ':wake', ':unrecorded' })

-- Takes a job out of its claim. False: it is not in there.
local function take(claim, id)
  local ids = redis.call('HGET', claims, claim)
  local at = ids and index_of(ids, id)
  if not at then
    return false
  end
  if redis.call('HINCRBY', left, claim, -1) == 0 then
    redis.call('HDEL', left, claim)
    redis.call('HDEL', claims, claim)
    redis.call('ZREM', base .. ':leases', claim)
  else
    redis.call('HSET', claims, claim, string.sub(ids, 1, at - 1) .. string.sub(ids, at + 16))
  end
  return true
end

for at = more, #ARGV, 5 do
  local position = (at - more) / 5 + 1
  local id, claim, to, due, past = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local record = redis.call('HGET', page(base, id), id)
  -- A claim still lists the jobs of it that have finished, but these have no record.
  if not record and to ~= 'gone' then
    refused[#refused + 1] = position
  elseif to ~= 'cancelled' and to ~= 'dead' and redis.call('SISMEMBER', base .. ':cancels', id) == 1 then
    if redis.call('HEXISTS', left, claim) == 1 then
      cancelled[#cancelled + 1] = position
      records[#records + 1] = record or ''
      histories[#histories + 1] = redis.call('HGET', history, id)
    else
      refused[#refused + 1] = position
    end
  elseif not take(claim, id) then
    refused[#refused + 1] = position
  else
    redis.call('SREM', base .. ':cancels', id)
    if reported then
      redis.call('HDEL', base .. ':progress', id)
    end
    if to == 'cancelled' then
      redis.call('HDEL', page(base, id), id)
      redis.call('HDEL', history, id)
      if retention_ms ~= '0' then
        redis.call('SET', base .. ':finished:' .. id, past, 'PX', retention_ms)
      end
      ended[#ended + 1] = id
    elseif past ~= '' then
      redis.call('HSET', history, id, past)
    end
    if to == 'retrying' or to == 'scheduled' then
      redis.call('ZADD', base .. ':' .. to, due, id)
      wakes = true
    elseif to == 'dead' then
      redis.call('ZADD', dead, now_ms, id)
      n_dead = n_dead + 1
      ended[#ended + 1] = id
    elseif to == 'suspect' then
      redis.call('RPUSH', base .. ':suspects', id)
      wakes = true
    elseif to == 'held' then
      redis.call('RPUSH', base .. ':held', id)
    elseif to == 'ready' then
      redis.call('LPUSH', base .. ':ready:' .. math.min(string.byte(record, 2) or 1, 3), id)
      wakes = true
    end
    if watched and redis.call('ZSCORE', base .. ':watched', id) then
      redis.call('PUBLISH', base .. ':events', id .. string.sub(to, 1, 1))
    end
  end
end

if n_dead > 0 then
  -- Should there be more, the next ones go with the next that die.
  local surplus = math.min(redis.call('ZCARD', dead) - most_dead, 1000 - (#ARGV - more + 1) / 5)
  if surplus > 0 then
    local oldest = redis.call('ZRANGE', dead, 0, surplus - 1)
    redis.call('ZREM', dead, unpack(oldest))
    for _, id in ipairs(oldest) do
      redis.call('HDEL', page(base, id), id)
    end
    redis.call('HDEL', history, unpack(oldest))
  end
end
if #ended > 0 then
  local counts = base .. ':minute:' .. minute
  redis.call('HINCRBY', counts, 'out', #ended)
  redis.call('EXPIRE', counts, 7200)
  if keeps_history == '1' and redis.call('RPUSH', base .. ':unrecorded', unpack(ended)) > 1000000 then
    redis.call('LTRIM', base .. ':unrecorded', -1000000, -1)
  end
end
if wakes then
  wake(base)
end
return { refused, cancelled, records, histories }
