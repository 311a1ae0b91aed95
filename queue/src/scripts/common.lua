-- Ends the script with an error if one of these keys is of another type: after the first write that would be too late.
local function check(base, command, keys)
  for i = 1, #keys do
    redis.call(command, base .. keys[i])
  end
end

local claims

-- The claim that has a job, its ids, and where in them the job's id is; nothing when no claim has it.
local function holder(base, id)
  claims = claims or redis.call('HGETALL', base .. ':claims')
  for i = 1, #claims, 2 do
    local at = string.find(claims[i + 1], id, 1, true)
    while at do
      if at % 16 == 1 then
        return claims[i], claims[i + 1], at
      end
      at = string.find(claims[i + 1], id, at + 1, true)
    end
  end
end

-- The hash that holds a job's record. The tenth byte of an id is its page.
local function page(base, id)
  return base .. ':jobs:' .. (string.byte(id, 10) or 0)
end
