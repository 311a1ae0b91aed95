#!lua flags=allow-oom
-- Whether it is the turn of a ticket at a place where one goes after the other, at a distance. The first time a ticket comes, a time is
-- kept for it; from then on it may begin as soon as nobody is under way there and the last one began long enough ago. Before its time it
-- may begin, too, when nobody else's has come. No time is so far away that those ahead, who may never come again, hold it up for long.
-- KEYS[1]  base of the place's keys
-- Named    now_ms, ticket, pace_ms (from one beginning to the next), busy_ms (after which whoever began counts as gone), kept_ms (for which
--          a ticket is kept that does not come, from its time on), far_ms (no wait is longer), look_again_ms (when to come again while
--          somebody is under way)
-- Reply    how many ms to wait; 0: it has begun
local now = tonumber(now_ms)
local tickets, until_, begun, busy = KEYS[1] .. ':tickets', KEYS[1] .. ':until', KEYS[1] .. ':begun', KEYS[1] .. ':busy'
local pace, kept, far = tonumber(pace_ms), tonumber(kept_ms), tonumber(far_ms)
local forgotten = redis.call('ZRANGEBYSCORE', until_, '-inf', now, 'LIMIT', 0, 1000)
if #forgotten > 0 then
  redis.call('ZREM', tickets, unpack(forgotten))
  redis.call('ZREM', until_, unpack(forgotten))
end
local last = tonumber(redis.call('GET', begun) or 0)
local at = tonumber(redis.call('ZSCORE', tickets, ticket) or nil)
if not at then
  local latest = redis.call('ZRANGE', tickets, -1, -1, 'WITHSCORES')
  at = math.max(now, last + pace, math.min(tonumber(latest[2] or 0) + pace, now + far))
  redis.call('ZADD', tickets, at, ticket)
end
local holder = redis.call('GET', busy)
local is_free = (not holder or holder == ticket) and now >= last + pace
if is_free and (at <= now or redis.call('ZCOUNT', tickets, '-inf', now) == 0) then
  redis.call('ZREM', tickets, ticket)
  redis.call('ZREM', until_, ticket)
  redis.call('SET', begun, now, 'PX', math.max(1, pace))
  redis.call('SET', busy, ticket, 'PX', busy_ms)
  return 0
end
local stays = math.max(at, now) + kept
redis.call('ZADD', until_, stays, ticket)
for _, key in ipairs({ tickets, until_ }) do
  redis.call('PEXPIRE', key, math.max(redis.call('PTTL', key), stays - now))
end
if at > now then
  return at - now
end
-- It is late: behind those that are later still.
local wait = math.min(far, math.max(1, last + pace - now) + redis.call('ZRANK', tickets, ticket) * pace)
if holder and holder ~= ticket then
  wait = math.max(wait, math.min(tonumber(look_again_ms), math.max(1, redis.call('PTTL', busy))))
end
return wait
