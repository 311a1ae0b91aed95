#!lua flags=no-writes
-- How an account is, and how many calls of a service it had in the last hour.
-- KEYS[1]  base of the account's keys
-- Named    service, minute (the number of the present one), n_minutes
-- Reply    { open until ms (0: closed), reason, calls, those that were answered }
local state = redis.call('HMGET', KEYS[1] .. ':state', 'open_until', 'reason')
local last, all, answered = tonumber(minute), 0, 0
for minute = last - n_minutes + 1, last do
  local counts = redis.call('HMGET', KEYS[1] .. ':calls:' .. minute, service .. ':all', service .. ':answered')
  all, answered = all + (counts[1] or 0), answered + (counts[2] or 0)
end
return { tonumber(state[1] or 0), state[2] or '', all, answered }
