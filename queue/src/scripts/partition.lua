#!lua flags=allow-oom
-- Finds or assigns the number of a partition. Numbers are never reused.
-- KEYS[1]  the table: number -> 'queue.index'
-- Named    name ('queue.index')
-- Reply    the number, 1 to 4095
local names = redis.call('HGETALL', KEYS[1])
for i = 1, #names, 2 do
  if names[i + 1] == name then
    return tonumber(names[i])
  end
end
local number = #names / 2 + 1
if number > 4095 then
  return redis.error_reply('all 4095 partition numbers are taken')
end
redis.call('HSET', KEYS[1], number, name)
return number
