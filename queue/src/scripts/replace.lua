#!lua
-- Writes a finished job anew, for as long as it is kept.
-- KEYS[1]  base of the partition's keys
-- ARGV     id, bucket of the id, finished record
-- Reply    1, or 0 when it has not finished or is kept no more
local base, id = KEYS[1], ARGV[1]
local bucket, alone = base .. ':done:' .. ARGV[2], base .. ':finished:' .. id
check(base, 'HLEN', { ':done:' .. ARGV[2] })
check(base, 'ZCARD', { ':watched' })
if redis.call('HEXISTS', page(base, id), id) == 1 then
  return 0
end
if redis.call('HEXISTS', bucket, id) == 1 then
  -- The field takes the place of the pack's name; the other jobs of the pack stay in it.
  redis.call('HSET', bucket, id, ARGV[3])
elseif redis.call('EXISTS', alone) == 1 then
  redis.call('SET', alone, ARGV[3], 'KEEPTTL')
else
  return 0
end
if redis.call('ZSCORE', base .. ':watched', id) then
  redis.call('PUBLISH', base .. ':events', id .. 's')
end
return 1
