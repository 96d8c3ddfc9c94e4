-- Give up the lead and what the caller sends, so that others take it at once. The term stays, because it must only grow.
--
-- KEYS[1]  nt:dispatcher, the hash of lead.lua
-- ARGV[1]  the caller's name
-- ARGV[2]  why, for the next leader; "" if it just ends
--
-- Returns 1, or 0 if the caller does not lead.

redis.call('HDEL', KEYS[1], 'beat:' .. ARGV[1])
if redis.call('HGET', KEYS[1], 'leader') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'leader', '', 'client_id', '', 'until', '0', 'why', ARGV[2])
return 1
