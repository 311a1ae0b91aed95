-- Ends the script with an error if one of these keys is of another type: after the first write that would be too late.
local function check(base, command, keys)
  for i = 1, #keys do
    redis.call(command, base .. keys[i])
  end
end

-- Where in the ids of a claim, which lie one behind the other, an id is.
local function index_of(ids, id)
  local at = string.find(ids, id, 1, true)
  while at and at % 16 ~= 1 do
    at = string.find(ids, id, at + 1, true)
  end
  return at
end

-- Leaves a token that has one replica look for work, unless there is one.
local function wake(base)
  if redis.call('EXISTS', base .. ':wake') == 0 then
    redis.call('RPUSH', base .. ':wake', '1')
  end
end

-- Says that jobs came in: to a replica that waits, and to the counters of the minute.
local function count_in(base, minute, counts_kept_s, n)
  if n > 0 then
    wake(base)
    local counts = base .. ':minute:' .. minute
    redis.call('HINCRBY', counts, 'in', n)
    redis.call('EXPIRE', counts, counts_kept_s)
  end
end

local claims

-- The claim that has a job, its ids, and where in them the job's id is; nothing when no claim has it.
local function holder(base, id)
  claims = claims or redis.call('HGETALL', base .. ':claims')
  for i = 1, #claims, 2 do
    local at = index_of(claims[i + 1], id)
    if at then
      return claims[i], claims[i + 1], at
    end
  end
end

-- The hash that holds a job's record. The tenth byte of an id is its page.
local function page(base, id)
  return base .. ':jobs:' .. (string.byte(id, 10) or 0)
end

-- The records of the jobs from the first to the last of these ids; false where there is none. Most jobs that are looked for together are of
-- one page.
local function records_of(base, ids, first, last)
  local byte, same = string.byte, first
  local number = byte(ids[first], 10)
  while same < last and byte(ids[same + 1], 10) == number do
    same = same + 1
  end
  if same == last then
    return redis.call('HMGET', page(base, ids[first]), unpack(ids, first, last))
  end
  local parts, records = {}, {}
  for i = first, last do
    local number = byte(ids[i], 10) or 0
    local part = parts[number]
    if not part then
      part = { ids = {}, places = {} }
      parts[number] = part
    end
    part.ids[#part.ids + 1] = ids[i]
    part.places[#part.places + 1] = i - first + 1
  end
  for _, part in pairs(parts) do
    for i, record in ipairs(redis.call('HMGET', page(base, part.ids[1]), unpack(part.ids))) do
      records[part.places[i]] = record
    end
  end
  return records
end
