#!lua flags=allow-oom
-- Whether it is the turn of a ticket at a place where one goes after the other, at a distance. The first time a ticket comes, a time is
-- kept for it; from then on it may begin as soon as nobody else is under way there and the last one began long enough ago.
-- KEYS[1]  base of the place's keys
-- Named    now_ms, ticket, pace_ms (from one beginning to the next), busy_ms (after which whoever began counts as gone), kept_ms (for which a
--          ticket's time is kept beyond it), look_again_ms (when to come again while somebody is under way)
-- Reply    how many ms to wait; 0: it has begun
local now = tonumber(now_ms)
local tickets, begun, busy = KEYS[1] .. ':tickets', KEYS[1] .. ':begun', KEYS[1] .. ':busy'
local pace, kept = tonumber(pace_ms), tonumber(kept_ms)
redis.call('ZREMRANGEBYSCORE', tickets, '-inf', now - kept)
local last = tonumber(redis.call('GET', begun) or 0)
local at = tonumber(redis.call('ZSCORE', tickets, ticket) or nil)
if not at then
  local latest = redis.call('ZRANGE', tickets, -1, -1, 'WITHSCORES')
  at = math.max(now, last + pace, (tonumber(latest[2] or 0)) + pace)
  redis.call('ZADD', tickets, at, ticket)
end
redis.call('PEXPIRE', tickets, math.max(0, at - now) + kept)
local wait = math.max(at, last + pace) - now
if wait > 0 then
  return wait
end
local holder = redis.call('GET', busy)
if holder and holder ~= ticket then
  return math.min(tonumber(look_again_ms), math.max(1, redis.call('PTTL', busy)))
end
redis.call('ZREM', tickets, ticket)
redis.call('SET', begun, now, 'PX', math.max(1, pace))
redis.call('SET', busy, ticket, 'PX', busy_ms)
return 0
