#!lua flags=no-writes,allow-oom
-- The next ids of a sorted set, the highest score first and in falling order of the ids within a score. No page costs more than
-- the first: where to begin is searched by rank.
-- KEYS[1]  base of the partition's keys
-- Named    set ('scheduled', 'retrying', 'dead'), n (how many), score and after (the id) to begin after ('' and '': the first)
-- Reply    { id, score, id, score, … }
local key = KEYS[1] .. ':' .. set

-- Compared by bytes, because Lua's own comparison of texts follows the server's locale.
local function before(a, b)
  for i = 1, 16 do
    local x, y = string.byte(a, i) or -1, string.byte(b, i) or -1
    if x ~= y then
      return x < y
    end
  end
  return false
end

local first = 0
if after ~= '' then
  -- Among those of the same score, which are in falling order, the first id below the one to begin after.
  first = redis.call('ZCOUNT', key, '(' .. score, '+inf')
  local last = first + redis.call('ZCOUNT', key, score, score)
  while first < last do
    local middle = math.floor((first + last) / 2)
    if before(redis.call('ZREVRANGE', key, middle, middle)[1], after) then
      last = middle
    else
      first = middle + 1
    end
  end
end
return redis.call('ZREVRANGE', key, first, first + n - 1, 'WITHSCORES')
