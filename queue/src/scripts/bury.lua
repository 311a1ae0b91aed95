#!lua flags=allow-oom
-- Deletes dead jobs.
-- KEYS[1]  base of the partition's keys
-- More     ids
-- Reply    how many were dead and are deleted
local n = 0
for _, id in ipairs(ARGV) do
  if redis.call('ZREM', KEYS[1] .. ':dead', id) == 1 then
    redis.call('HDEL', page(KEYS[1], id), id)
    redis.call('HDEL', KEYS[1] .. ':history', id)
    n = n + 1
  end
end
return n
