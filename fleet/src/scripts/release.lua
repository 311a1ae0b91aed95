#!lua flags=allow-oom
-- Closes the breaker of an account: somebody has seen that it works again. What failed of calls that are under way counts no more.
-- KEYS[1]  base of the account's keys
-- Named    now_ms, channel, service, account, buckets (of the window), bucket_ms, kept_s (the state)
-- Reply    1, or 0 when it was closed
local state, now = KEYS[1] .. ':state', tonumber(now_ms)
-- Also where it is closed: what a call found that is under way may come in a moment.
redis.call('HSET', state, 'closed_at', now)
redis.call('EXPIRE', state, kept_s)
if not redis.call('HGET', state, 'cause') then
  return 0
end
redis.call('HDEL', state, 'cause', 'reason', 'open_ms', 'open_until', 'probe', 'probe_until')
local last = math.floor(now / tonumber(bucket_ms))
for bucket = last - tonumber(buckets), last do
  redis.call('DEL', KEYS[1] .. ':window:' .. bucket)
end
redis.call('PUBLISH', channel, cjson.encode({ breaker_closed = { service = service, account = account } }))
return 1
