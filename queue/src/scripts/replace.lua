#!lua
-- Writes a finished job anew, for as long as it is kept.
-- KEYS[1]  base of the partition's keys
-- Named    id, bucket (of the id), finished (its new record)
-- Reply    1, or 0 when it has not finished or is kept no more
local base = KEYS[1]
local done, alone = base .. ':done:' .. bucket, base .. ':finished:' .. id
check(base, 'HLEN', { ':done:' .. bucket })
check(base, 'ZCARD', { ':watched' })
if redis.call('HEXISTS', page(base, id), id) == 1 then
  return 0
end
if redis.call('HEXISTS', done, id) == 1 then
  -- The field takes the place of the pack's name; the other jobs of the pack stay in it.
  redis.call('HSET', done, id, finished)
elseif redis.call('EXISTS', alone) == 1 then
  redis.call('SET', alone, finished, 'KEEPTTL')
else
  return 0
end
if redis.call('ZSCORE', base .. ':watched', id) then
  redis.call('PUBLISH', base .. ':events', id .. 's')
end
return 1
