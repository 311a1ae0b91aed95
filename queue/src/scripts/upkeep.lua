#!lua flags=allow-oom
-- Looks after partitions: finds expired leases, frees what is past its time, tells whether work waits. The damaged keys of one hold up no
-- other. What there is to do in one partition is enough for one call: those behind it are left to the next.
-- KEYS     bases of the partitions' keys, all of one slot in a cluster
-- Named    now_ms, first_bucket and last_bucket (to free), oldest_death_ms (that is kept)
-- More     for each partition: reclaim ('1' or '0')
-- Reply    { server time_ms, replies }, a reply for each of the first partitions, at least one: the text of an error, or
--          { next lease end_ms or -1, next due_ms or -1, 1 if a claim would find work, 1 if there are ends without history, 1 if jobs are
--            put aside,
--            ids, claims and histories (false = none) of the jobs whose lease has expired: whole claims, at most 1000 jobs;
--            the record of each that someone cancelled, false for the others }
local now = tonumber(now_ms)

-- When the first job of a sorted set is due; at once when nobody can tell, so that a claim says what is wrong.
local function first_due(key)
  local first = redis.pcall('ZRANGE', key, 0, 0, 'WITHSCORES')
  return first.err and 0 or tonumber(first[2]) or math.huge
end

local function look_after(base, reclaim)
  local history, dead, leases = base .. ':history', base .. ':dead', base .. ':leases'

  for bucket = tonumber(first_bucket), tonumber(last_bucket) do
    redis.call('UNLINK', base .. ':done:' .. bucket)
  end

  local ids, claims, histories, cancelled, n_looked = {}, {}, {}, {}, 0
  if reclaim == '1' then
    for _, claim in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 200)) do
      local claimed, n_here = redis.call('HGET', base .. ':claims', claim) or '', 0
      if n_looked + #claimed / 16 > 1000 then
        break
      end
      n_looked = n_looked + #claimed / 16
      for at = 1, #claimed, 16 do
        local id = string.sub(claimed, at, at + 15)
        -- Those of the claim that have finished have no record.
        if redis.call('HEXISTS', page(base, id), id) == 1 then
          n_here = n_here + 1
          ids[#ids + 1] = id
          claims[#claims + 1] = claim
          histories[#histories + 1] = redis.call('HGET', history, id)
          local is_cancelled = redis.call('SISMEMBER', base .. ':cancels', id) == 1
          cancelled[#cancelled + 1] = is_cancelled and redis.call('HGET', page(base, id), id)
        end
      end
      if n_here == 0 then
        redis.call('HDEL', base .. ':claims', claim)
        redis.call('HDEL', base .. ':left', claim)
        redis.call('ZREM', leases, claim)
      end
    end
  end

  -- As many more as one call may take.
  local room = math.max(0, 1000 - n_looked)
  local unwatched = redis.call('ZRANGEBYSCORE', base .. ':watched', '-inf', now, 'LIMIT', 0, room)
  if #unwatched > 0 then
    redis.call('ZREM', base .. ':watched', unpack(unwatched))
  end
  local old = redis.call('ZRANGEBYSCORE', dead, '-inf', oldest_death_ms, 'LIMIT', 0, room - #unwatched)
  if #old > 0 then
    redis.call('ZREM', dead, unpack(old))
    for _, id in ipairs(old) do
      redis.call('HDEL', page(base, id), id)
    end
    redis.call('HDEL', history, unpack(old))
  end
  -- Jobs that ended without having been taken out of their tenant's index; some at random, so that none stays for ever.
  n_looked = n_looked + #unwatched + #old
  room = math.min(1000 - n_looked, 500)
  for _, tenant in ipairs(redis.call('SRANDMEMBER', base .. ':tenants', 5)) do
    local index = base .. ':of:' .. tenant
    for _, id in ipairs(redis.call('ZRANDMEMBER', index, math.ceil(room / 5 / #KEYS))) do
      if redis.call('HEXISTS', page(base, id), id) == 0 then
        redis.call('ZREM', index, id)
      end
    end
    if redis.call('EXISTS', index) == 0 then
      redis.call('SREM', base .. ':tenants', tenant)
    end
  end

  local work = redis.call('EXISTS', base .. ':ready:0', base .. ':ready:1', base .. ':ready:2', base .. ':ready:3',
    base .. ':suspects')
  local due = math.min(first_due(base .. ':scheduled'), first_due(base .. ':retrying'))
  local next_end = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')[2]
  return n_looked, {
    next_end and tonumber(next_end) or -1,
    due < math.huge and due or -1,
    math.min(work, 1), redis.call('EXISTS', base .. ':unrecorded'), redis.call('EXISTS', base .. ':held'),
    ids, claims, histories, cancelled,
  }
end

local replies = {}
for i, base in ipairs(KEYS) do
  local whole, n_looked, reply = pcall(look_after, base, ARGV[more + i - 1])
  if not whole then
    -- A text of Lua's own has no code.
    local why = type(n_looked) == 'table' and n_looked.err or tostring(n_looked)
    replies[i] = string.find(why, '^%u+ ') and why or 'ERR ' .. why
  else
    replies[i] = reply
    if n_looked > 0 then
      break
    end
  end
end
local time = redis.call('TIME')
return { tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000), replies }
