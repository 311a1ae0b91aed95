#!lua
-- Pushes jobs, each with the idempotency key of its request; one whose key is taken is not pushed. Their ids are new.
-- KEYS     base of the partition's keys, then the key of each job; in a cluster they are of different slots, and the call is refused
-- Named    minute, counts_kept_s (its counters)
-- More     (what shall stand in the key, ttl_ms, id, record, priority, due_ms or '', tenant whose index it goes into or '') of each job
-- Reply    for each job: nothing when it was pushed, otherwise what stands in its key; { text } of the error when that cannot be looked at
local base, replies, n = KEYS[1], {}, 0
check(base, 'LLEN', { ':ready:0', ':ready:1', ':ready:2', ':ready:3', ':wake' })
check(base, 'ZCARD', { ':scheduled' })
check(base, 'SCARD', { ':tenants' })
check(base, 'HLEN', { ':minute:' .. minute })
-- The ids and records of a page lie in the order in which HSET takes them.
local pages, ready = {}, {}
for at = more, #ARGV, 7 do
  local key, tenant = page(base, ARGV[at + 2]), ARGV[at + 6]
  if not pages[key] then
    redis.call('HLEN', key)
    pages[key] = {}
  end
  if tenant ~= '' then
    check(base, 'ZCARD', { ':of:' .. tenant })
  end
end
for i = 2, #KEYS do
  local at = more + (i - 2) * 7
  -- One damaged key holds up no other.
  local present = redis.pcall('SET', KEYS[i], ARGV[at], 'NX', 'GET', 'PX', ARGV[at + 1])
  replies[i - 1] = type(present) == 'table' and { present.err } or present
  if not present then
    local id, priority, due, tenant = ARGV[at + 2], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6]
    if tenant ~= '' then
      redis.call('ZADD', base .. ':of:' .. tenant, 0, id)
      redis.call('SADD', base .. ':tenants', tenant)
    end
    if due ~= '' then
      redis.call('ZADD', base .. ':scheduled', due, id)
    else
      ready[priority] = ready[priority] or {}
      table.insert(ready[priority], id)
    end
    local records = pages[page(base, id)]
    records[#records + 1] = id
    records[#records + 1] = ARGV[at + 3]
    n = n + 1
  end
end
for priority, ids in pairs(ready) do
  redis.call('RPUSH', base .. ':ready:' .. priority, unpack(ids))
end
for key, records in pairs(pages) do
  if #records > 0 then
    redis.call('HSET', key, unpack(records))
  end
end
count_in(base, minute, counts_kept_s, n)
return replies
