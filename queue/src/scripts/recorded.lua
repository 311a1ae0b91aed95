#!lua flags=allow-oom
-- Takes ended jobs off the list of those whose history is not written yet.
-- KEYS[1]  base of the partition's keys
-- More     the ids that were written, as they stood at the head of the list
-- Reply    how many were still at its head, and are off it: fewer when somebody else was faster
local key = KEYS[1] .. ':unrecorded'
local head = redis.call('LRANGE', key, 0, #ARGV - 1)
local n = 0
while n < #ARGV and head[n + 1] == ARGV[n + 1] do
  n = n + 1
end
if n > 0 then
  redis.call('LPOP', key, n)
end
return n
