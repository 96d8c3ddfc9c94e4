-- Publish the assignment, unless a newer leader has already done so.
--
-- KEYS[1]  nt:assignment, a hash: term and generation (both only grow), and one field for each symbol: its owner.
--            Symbols are upper case or have a colon, so they differ from these two names.
-- ARGV[1]  the leader's term
-- ARGV[2]  the highest generation that the leader has seen
-- ARGV[3]  "1" to change the assignment of just this generation, "" to replace whatever there is
-- ARGV[4], ARGV[5] …  symbol and owner, for every symbol or for those that change; "" if it has none any more
--
-- Returns {1, the new generation}. If the recorded term is newer than the caller's, nothing changes, and it returns
-- {0, the recorded term}. If another assignment is recorded than the one to change, nothing changes, and it returns {2, 0}.

local held = redis.call('HMGET', KEYS[1], 'term', 'generation')
local term, recorded = tonumber(held[1]) or 0, tonumber(held[2]) or 0
if term > tonumber(ARGV[1]) then
  return {0, term}
end
if ARGV[3] == '' then
  redis.call('DEL', KEYS[1])
elseif recorded ~= tonumber(ARGV[2]) then
  return {2, 0}
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local generation = math.max(recorded + 1, tonumber(ARGV[2]) + 1, now)
redis.call('HSET', KEYS[1], 'term', ARGV[1], 'generation', string.format('%.0f', generation))
for i = 4, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', KEYS[1], ARGV[i])
  else
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
return {1, generation}
