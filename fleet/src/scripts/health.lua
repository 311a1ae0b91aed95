#!lua flags=no-writes
-- How an account is, and how many calls of a service it had in the last hour.
-- KEYS[1]  base of the account's keys
-- ARGV     service, number of the present minute, how many minutes
-- Reply    { open until ms (0: closed), reason, calls, those that were answered }
local state = redis.call('HMGET', KEYS[1] .. ':state', 'open_until', 'reason')
local last, all, answered = tonumber(ARGV[2]), 0, 0
for minute = last - ARGV[3] + 1, last do
  local counts = redis.call('HMGET', KEYS[1] .. ':calls:' .. minute, ARGV[1] .. ':all', ARGV[1] .. ':answered')
  all, answered = all + (counts[1] or 0), answered + (counts[2] or 0)
end
return { tonumber(state[1] or 0), state[2] or '', all, answered }
