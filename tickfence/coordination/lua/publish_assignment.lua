-- Replace the assignment, unless a newer leader has already done so.
--
-- KEYS[1]  nt:assignment, a hash: term and generation (both only grow), and one field for each symbol: its owner.
--            Symbols are upper case or have a colon, so they differ from these two names.
-- ARGV[1]  the leader's term
-- ARGV[2]  the highest generation that the leader has seen
-- ARGV[3], ARGV[4] …  symbol and owner, for every symbol
--
-- Returns {1, the new generation}. If the recorded term is newer than the caller's, nothing changes, and it returns
-- {0, the recorded term}.

local held = redis.call('HMGET', KEYS[1], 'term', 'generation')
local term = tonumber(held[1]) or 0
if term > tonumber(ARGV[1]) then
  return {0, term}
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local generation = math.max((tonumber(held[2]) or 0) + 1, tonumber(ARGV[2]) + 1, now)
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'term', ARGV[1], 'generation', string.format('%.0f', generation))
for i = 3, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
return {1, generation}
