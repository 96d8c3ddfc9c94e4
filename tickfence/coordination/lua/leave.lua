-- End a node's registration in order. The record stays for a minute, so that readers can tell an orderly leave
-- from lost data.
--
-- KEYS[1]  nt:node:<id>, the hash that register.lua keeps
-- ARGV[1]  incarnation
--
-- Returns 1, or 0 when the id is not, or no longer, this incarnation's.

if redis.call('HGET', KEYS[1], 'incarnation') ~= ARGV[1] then
  return 0
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'left', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
redis.call('PEXPIRE', KEYS[1], 60000)
return 1
