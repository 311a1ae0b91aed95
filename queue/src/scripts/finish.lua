#!lua flags=allow-oom
-- Ends running jobs of their owners and keeps what is to be kept of them.
-- KEYS[1]  base of the partition's keys
-- ARGV     bucket, ttl_ms of the bucket, retention_ms, minute, n (at most 1000), n_ended,
--          where (n letters: 'b' into the bucket, 'k' into a key of its own, '-' not kept),
--          states (n letters, for those who watch), whether history is kept of them ('1' or '0'),
--          n ids, n owners, n finished records, n_ended owners whose last jobs these are
-- Reply    { position of each job refused because its lease is lost, counted from 1 }
local base, bucket, ttl, retention, minute = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local n, n_ended, where, states = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], ARGV[8]
local ids_at, owners_at, kept_at, ended_at = 9, 9 + n, 9 + 2 * n, 9 + 3 * n
local running, jobs, history = base .. ':running', base .. ':jobs', base .. ':history'

local owners = redis.call('HMGET', running, unpack(ARGV, ids_at + 1, ids_at + n))
local refused, done, in_bucket = {}, {}, {}
local watched = redis.call('EXISTS', base .. ':watched') == 1
for i = 1, n do
  local id = ARGV[ids_at + i]
  if owners[i] ~= ARGV[owners_at + i] then
    refused[#refused + 1] = i
  else
    done[#done + 1] = id
    local place = string.byte(where, i)
    if place == 98 then
      in_bucket[#in_bucket + 1] = id
      in_bucket[#in_bucket + 1] = ARGV[kept_at + i]
    elseif place == 107 then
      redis.call('SET', base .. ':finished:' .. id, ARGV[kept_at + i], 'PX', retention)
    end
    if watched and redis.call('ZSCORE', base .. ':watched', id) then
      redis.call('PUBLISH', base .. ':events', id .. string.sub(states, i, i))
    end
  end
end
if #done > 0 then
  redis.call('HDEL', running, unpack(done))
  redis.call('HDEL', jobs, unpack(done))
  if redis.call('EXISTS', history) == 1 then
    redis.call('HDEL', history, unpack(done))
  end
  if redis.call('EXISTS', base .. ':cancels') == 1 then
    redis.call('SREM', base .. ':cancels', unpack(done))
  end
  if #in_bucket > 0 then
    local key = base .. ':done:' .. bucket
    local new = redis.call('EXISTS', key) == 0
    redis.call('HSET', key, unpack(in_bucket))
    if new then
      redis.call('PEXPIRE', key, ttl)
    end
  end
  if ARGV[9] == '1' and redis.call('RPUSH', base .. ':unrecorded', unpack(done)) > 1000000 then
    redis.call('LTRIM', base .. ':unrecorded', -1000000, -1)
  end
  local counts = base .. ':minute:' .. minute
  if redis.call('HINCRBY', counts, 'out', #done) == #done then
    redis.call('EXPIRE', counts, 7200)
  end
end
if n_ended > 0 then
  redis.call('ZREM', base .. ':leases', unpack(ARGV, ended_at + 1, ended_at + n_ended))
end
return refused
