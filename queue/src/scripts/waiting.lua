#!lua flags=no-writes,allow-oom
-- The next ids of the lists of ready jobs, the last pushed first, and the jobs' records, where most of them are wanted. A partition
-- without ready jobs costs one command, and nothing of the reply.
-- KEYS     bases of the partitions' keys, all of one slot in a cluster
-- Named    n (how many of each list), all ('1', or '0': only of lists with an anchor), most (ids to look through for all anchors),
--          most_bytes (of records, more of which do not come along; '0': none do), together (so many records are read at a time)
-- More     (number of the base, number of the list, id, index) of each anchor: the id to begin after, and how far from the end of its
--          list it was
-- Reply    { how many of each list, replies }, a reply for each list that has something to tell: { number of the base, number of the
--          list, index of the first id, ids in the list's own order, one behind the other }, and maybe behind these parts of the jobs,
--          each of two lists as MessagePack: a record or false for each id, and a history or false ('': no job has one);
--          { number of the base, number of the list, index to look on from } when the anchor is not found yet
local lists = { ':ready:0', ':ready:1', ':ready:2', ':ready:3', ':suspects', ':held' }
local anchors, n_anchors = {}, (#ARGV - more + 1) / 4
for i = more, #ARGV, 4 do
  local base, list = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  anchors[base] = anchors[base] or {}
  anchors[base][list] = { ARGV[i + 2], tonumber(ARGV[i + 3]) }
end
-- Of each list at least one step, so that none waits for the others' anchors.
local step = math.max(1, math.floor(most / math.max(1, n_anchors)))
local together, most_bytes, bytes = tonumber(together), tonumber(most_bytes), 0

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

-- Ids one behind the other. What is none must not hide the others.
local function joined(ids)
  local text = table.concat(ids)
  if #text == 16 * #ids then
    return text
  end
  for i, id in ipairs(ids) do
    ids[i] = #id == 16 and id or string.rep('\0', 16)
  end
  return table.concat(ids)
end

-- The records and histories of ready jobs, in parts; nothing when they are too large.
local function parts_of(base, ids)
  local parts, with_history = {}, redis.call('EXISTS', base .. ':history') == 1
  for first = 1, #ids, together do
    local last = math.min(first + together - 1, #ids)
    local records = cmsgpack.pack(records_of(base, ids, first, last))
    local histories = with_history and cmsgpack.pack(redis.call('HMGET', base .. ':history', unpack(ids, first, last))) or ''
    bytes = bytes + #records + #histories
    if bytes > most_bytes then
      return nil
    end
    parts[#parts + 1] = { records, histories }
  end
  return parts
end

-- How many lists of each partition have jobs.
local n_lists, n_all = {}, 0
for number, base in ipairs(KEYS) do
  n_lists[number] = redis.call('EXISTS', base .. ':ready:0', base .. ':ready:1', base .. ':ready:2', base .. ':ready:3',
    base .. ':suspects', base .. ':held')
  n_all = n_all + n_lists[number]
end

-- Of all lists together fewer than 1000.
local n_each = math.min(tonumber(n), math.max(1, math.floor(999 / math.max(1, n_all))))
local replies, ids_of, n_found = {}, {}, 0
for number, base in ipairs(KEYS) do
  local left = n_lists[number]
  for i, list in ipairs(lists) do
    if left == 0 then
      break
    end
    local anchor, first, look_on = anchors[number] and anchors[number][i], 0, nil
    if anchor then
      first, look_on = behind(base .. list, anchor[1], anchor[2])
    end
    if look_on then
      replies[#replies + 1] = { number, i, look_on }
    elseif anchor or all == '1' then
      local ids = redis.call('LRANGE', base .. list, -first - n_each, -first - 1)
      if #ids > 0 then
        left = anchor and left or left - 1
        n_found = n_found + #ids
        replies[#replies + 1] = { number, i, first, joined(ids) }
        ids_of[#replies] = ids
      end
    end
  end
end

-- Of several long lists most jobs are not of the page that is asked for: then whoever asks chooses first.
if most_bytes > 0 and n_found <= 2 * n_each then
  for at, reply in ipairs(replies) do
    reply[5] = ids_of[at] and parts_of(KEYS[reply[1]], ids_of[at])
    if bytes > most_bytes then
      break
    end
  end
end
return { n_each, replies }
