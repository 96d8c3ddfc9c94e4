-- Give a lease back. Token, generation and seq stay, so that they go on growing.
--
-- KEYS[1]  lease:{report:<SYMBOL>}, the hash that acquire.lua keeps
-- ARGV[1]  owner: node/incarnation
--
-- Returns 1, or 0 when the lease is not the caller's.

if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'owner', '', 'until', '0')
return 1
