#!lua flags=allow-oom
-- Takes running jobs from their owners and puts them where they wait next.
-- KEYS[1]  base of the partition's keys
-- ARGV     now_ms, minute, most dead jobs kept, n, n_ended, whether history is kept of the dead ('1' or '0'),
--          n times (id, owner, to, due_ms, history; an empty history leaves what is stored),
--          n_ended owners whose last jobs these are
--          to: 'retrying', 'scheduled', 'dead', 'ready' (to the front), 'suspect'
-- Reply    { position of each job refused because its lease is lost, counted from 1 }
local base, now, minute, most_dead = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local n, n_ended = tonumber(ARGV[4]), tonumber(ARGV[5])
local jobs, history, dead = base .. ':jobs', base .. ':history', base .. ':dead'
local refused, wake, n_dead, died = {}, false, 0, {}

for i = 1, n do
  local at = 7 + (i - 1) * 5
  local id, owner, to, due, past = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  if redis.call('HGET', base .. ':running', id) ~= owner then
    refused[#refused + 1] = i
  else
    redis.call('HDEL', base .. ':running', id)
    redis.call('SREM', base .. ':cancels', id)
    if past ~= '' then
      redis.call('HSET', history, id, past)
    end
    if to == 'retrying' or to == 'scheduled' then
      redis.call('ZADD', base .. ':' .. to, due, id)
      wake = true
    elseif to == 'dead' then
      redis.call('ZADD', dead, now, id)
      n_dead = n_dead + 1
      died[n_dead] = id
      if redis.call('ZSCORE', base .. ':watched', id) then
        redis.call('PUBLISH', base .. ':events', id .. 'd')
      end
    elseif to == 'suspect' then
      redis.call('RPUSH', base .. ':suspects', id)
      wake = true
    else
      local record = redis.call('HGET', jobs, id)
      local priority = record and string.byte(record, 2) or 1
      redis.call('LPUSH', base .. ':ready:' .. math.min(priority, 3), id)
      wake = true
    end
  end
end

if n_dead > 0 then
  if ARGV[6] == '1' and redis.call('RPUSH', base .. ':unrecorded', unpack(died)) > 1000000 then
    redis.call('LTRIM', base .. ':unrecorded', -1000000, -1)
  end
  local surplus = redis.call('ZCARD', dead) - most_dead
  if surplus > 0 then
    local oldest = redis.call('ZRANGE', dead, 0, surplus - 1)
    redis.call('ZREM', dead, unpack(oldest))
    redis.call('HDEL', jobs, unpack(oldest))
    redis.call('HDEL', history, unpack(oldest))
  end
  local counts = base .. ':minute:' .. minute
  redis.call('HINCRBY', counts, 'out', n_dead)
  redis.call('EXPIRE', counts, 7200)
end
if wake and redis.call('EXISTS', base .. ':wake') == 0 then
  redis.call('RPUSH', base .. ':wake', '1')
end
if n_ended > 0 then
  local at = 7 + n * 5
  redis.call('ZREM', base .. ':leases', unpack(ARGV, at, at + n_ended - 1))
end
return refused
