#!lua
-- Keeps what handlers have reported of running jobs. Refused at maxmemory: a report is no reason to fill Redis further.
-- KEYS[1]  base of the partition's keys
-- More     (id, claim, reports) of each job
-- Reply    { position of each job refused because its lease is lost, counted from 1 }
local base = KEYS[1]

-- A claim still lists the jobs of it that have finished, but these have no record.
local function owns(id, claim)
  local ids = redis.call('HGET', base .. ':claims', claim)
  local at = ids and index_of(ids, id)
  return at and redis.call('HEXISTS', page(base, id), id) == 1
end

local refused = {}
local watched = redis.call('EXISTS', base .. ':watched') == 1
for i = 1, #ARGV, 3 do
  local id = ARGV[i]
  if not owns(id, ARGV[i + 1]) then
    refused[#refused + 1] = (i + 2) / 3
  else
    redis.call('HSET', base .. ':progress', id, ARGV[i + 2])
    if watched and redis.call('ZSCORE', base .. ':watched', id) then
      redis.call('PUBLISH', base .. ':events', id .. 'p')
    end
  end
end
return refused
