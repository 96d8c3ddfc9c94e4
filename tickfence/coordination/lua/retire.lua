-- Delete what nodes keep of a symbol that is not reported on any more, and leave a fence for writers that come late.
--
-- KEYS[1]  lease:{report:<SYMBOL>}, the hash that acquire.lua keeps. It is kept for a while: token, generation and seq
--          refuse a writer that was frozen in the middle of a cycle.
-- KEYS[2] …  the keys to delete, in the same slot
-- ARGV[1]  generation of the assignment that no longer has the symbol
-- ARGV[2]  how long the lease is kept, ms
--
-- Returns 1, or 0 if a newer generation has the symbol again; then nothing changes.

local recorded = redis.pcall('HGET', KEYS[1], 'generation')
if type(recorded) == 'table' then
  redis.call('DEL', KEYS[1])  -- it is no hash, so it is no lease
  recorded = nil
end
if (tonumber(recorded) or 0) > tonumber(ARGV[1]) then
  return 0
end
redis.call('DEL', unpack(KEYS, 2))
redis.call('HSET', KEYS[1], 'owner', '', 'until', '0', 'generation', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
