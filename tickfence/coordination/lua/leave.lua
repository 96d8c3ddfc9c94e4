-- End a node's registration in order. The record stays for a minute: it shows readers that the node left and that no data
-- was lost.
--
-- KEYS[1]  nt:node:<id>, the hash of register.lua
-- ARGV[1]  incarnation
--
-- Returns 1, or 0 if the id does not belong to this incarnation.

if redis.call('HGET', KEYS[1], 'incarnation') ~= ARGV[1] then
  return 0
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'left', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
redis.call('PEXPIRE', KEYS[1], 60000)
return 1
