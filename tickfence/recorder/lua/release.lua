-- Give a source back, so that another recorder can take it at once. Its positions stay.
--
-- KEYS[1]  the hash of acquire.lua
-- ARGV[1]  token
--
-- Returns 1, or 0 if the token is not the recorded one.

local token = redis.pcall('HGET', KEYS[1], 'token')
if token ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'owner', '', 'until', '0')
return 1
