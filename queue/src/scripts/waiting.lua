#!lua flags=no-writes,allow-oom
-- The next ids of the lists of ready jobs, the last pushed first.
-- KEYS[1]  base of the partition's keys
-- Named    n (how many of each list), most (ids to look through for all anchors)
-- More     (name of the list, anchor, index) of each list:
--          the id to begin after ('' = the first), and how far from the end of the list it was
-- Reply    for each list { index of the first id, ids in the list's own order }; without ids, { index to look on from } when the
--          anchor is not found yet
local base = KEYS[1]
-- Of each list at least one step, so that none waits for the others' anchors.
local step = math.max(1, math.floor(most * 3 / (#ARGV - more + 1)))

-- Pushes only move the anchor away from the end of its list. An anchor that is gone was claimed, and before it all that was behind it.
local function behind(key, anchor, index)
  local n_ids = redis.call('LLEN', key)
  if redis.call('LINDEX', key, -index - 1) == anchor then
    return index + 1
  end
  local at = index
  if at >= n_ids then
    return n_ids
  end
  local ids = redis.call('LRANGE', key, -at - step, -at - 1)
  for i = #ids, 1, -1 do
    if ids[i] == anchor then
      return at + #ids - i + 1
    end
  end
  if at + step >= n_ids then
    return n_ids
  end
  return nil, at + step
end

local replies = {}
for i = more, #ARGV, 3 do
  local key, anchor, index = base .. ':' .. ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local first, look_on = 0, nil
  if anchor ~= '' then
    first, look_on = behind(key, anchor, index)
  end
  if first then
    replies[#replies + 1] = { first, redis.call('LRANGE', key, -first - n, -first - 1) }
  else
    replies[#replies + 1] = { look_on }
  end
end
return replies
