#!lua flags=allow-oom
-- Ends running jobs of claims and keeps what is to be kept of them.
-- KEYS[1]  base of the partition's keys
-- Named    bucket, ttl_ms (of the bucket), retention_ms, minute, n_claims, n_runs, n_jobs (at most 1000),
--          states (a letter a job, for those who watch), keeps_history ('1' or '0')
-- More     n_claims times (claim, how many jobs it has left, how many of them end here),
--          n_runs times (page, how many of the next ids are on it), n_jobs ids, in the order of their claims,
--          (position of the first job from 1, how many jobs from there, their finished records) of all that is kept: several
--          jobs share a field of the bucket, one alone has a field, none (0) means that the first has a key of its own
-- Reply    { position of each job refused because its lease is lost, counted from 1 }
local base, n = KEYS[1], tonumber(n_jobs)
-- Before the first run, and before the first id.
local runs_at = more - 1 + 3 * n_claims
local ids_at = runs_at + 2 * n_runs
local claims, left, leases = base .. ':claims', base .. ':left', base .. ':leases'

for at = runs_at + 1, ids_at, 2 do
  redis.call('HLEN', base .. ':jobs:' .. ARGV[at])
end
check(base, 'HLEN', { ':claims', ':left', ':history', ':progress', ':minute:' .. minute, ':done:' .. bucket })
check(base, 'ZCARD', { ':leases', ':watched' })
check(base, 'SCARD', { ':cancels' })
check(base, 'LLEN', { ':unrecorded' })
local refused, is_refused, position = {}, {}, 0
for at = more, runs_at, 3 do
  local claim, had, ends = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local has = tonumber(redis.call('HGET', left, claim) or '-1')
  if has == had then
    if had == ends then
      redis.call('HDEL', left, claim)
      redis.call('HDEL', claims, claim)
      redis.call('ZREM', leases, claim)
    else
      redis.call('HINCRBY', left, claim, -ends)
    end
  else
    -- The lease is lost; or this very call was carried out before, and only its answer was lost.
    for job = position + 1, position + ends do
      refused[#refused + 1] = job
      is_refused[job] = true
    end
  end
  position = position + ends
end
if #refused == n then
  return refused
end

-- The ids that are done; in the common case all of them, as they came.
local done, from, to = ARGV, ids_at + 1, ids_at + n
if #refused > 0 then
  done = {}
  for job = 1, n do
    if not is_refused[job] then
      done[#done + 1] = ARGV[ids_at + job]
    end
  end
  from, to = 1, #done
  for _, id in ipairs(done) do
    redis.call('HDEL', page(base, id), id)
  end
else
  local first = from
  for at = runs_at + 1, ids_at, 2 do
    redis.call('HDEL', base .. ':jobs:' .. ARGV[at], unpack(ARGV, first, first + ARGV[at + 1] - 1))
    first = first + ARGV[at + 1]
  end
end
for _, sparse in ipairs({ ':history', ':progress' }) do
  if redis.call('EXISTS', base .. sparse) == 1 then
    redis.call('HDEL', base .. sparse, unpack(done, from, to))
  end
end
if redis.call('EXISTS', base .. ':cancels') == 1 then
  redis.call('SREM', base .. ':cancels', unpack(done, from, to))
end

local fields, n_fields, key = {}, 0, base .. ':done:' .. bucket
local new = redis.call('EXISTS', key) == 0
local args, none_refused = ARGV, #refused == 0
for at = ids_at + n + 1, #args, 3 do
  local first, count, kept = tonumber(args[at]), tonumber(args[at + 1]), args[at + 2]
  if count == 0 then
    if not is_refused[first] then
      redis.call('SET', base .. ':finished:' .. args[ids_at + first], kept, 'PX', retention_ms)
    end
  else
    local field = kept
    if count > 1 then
      field = '#' .. redis.call('HINCRBY', key, '#', 1)
      fields[n_fields + 1], fields[n_fields + 2] = field, kept
      n_fields = n_fields + 2
    end
    for job = first, first + count - 1 do
      if none_refused or not is_refused[job] then
        fields[n_fields + 1], fields[n_fields + 2] = args[ids_at + job], field
        n_fields = n_fields + 2
      end
    end
  end
end
if n_fields > 0 then
  redis.call('HSET', key, unpack(fields, 1, n_fields))
  if new then
    redis.call('PEXPIRE', key, ttl_ms)
  end
end

if keeps_history == '1' and redis.call('RPUSH', base .. ':unrecorded', unpack(done, from, to)) > 1000000 then
  redis.call('LTRIM', base .. ':unrecorded', -1000000, -1)
end
local counts = base .. ':minute:' .. minute
local n_done = to - from + 1
if redis.call('HINCRBY', counts, 'out', n_done) == n_done then
  redis.call('EXPIRE', counts, 7200)
end
if redis.call('EXISTS', base .. ':watched') == 1 then
  for job = 1, n do
    local id = ARGV[ids_at + job]
    if not is_refused[job] and redis.call('ZSCORE', base .. ':watched', id) then
      redis.call('PUBLISH', base .. ':events', id .. string.sub(states, job, job))
    end
  end
end
return refused
