-- Write a symbol's report, or other strings that belong to it, if, and only if, the writer still holds the newest token.
-- One atomic step: a check in one call and a write in the next is a race. An accepted write renews the lease.
--
-- KEYS[1]  lease:{report:<SYMBOL>}, the hash that acquire.lua keeps
-- KEYS[2]  report:<SYMBOL>, or slow:{report:<SYMBOL>}; KEYS[3] … further strings in the same slot
-- ARGV[1]  owner: node/incarnation
-- ARGV[2]  fencing token
-- ARGV[3]  seq: number of this write, above that of every write before it
-- ARGV[4]  basis: number of the data it was made from, recorded beside seq; says to a reader how new a write is
-- ARGV[5]  lease duration from now on, ms
-- ARGV[6]  value of KEYS[2]
-- ARGV[7]  its time to live, ms
-- ARGV[8], ARGV[9] …  value and time to live of each further key
--
-- Returns one of
--   written   accepted
--   repeated  this very write was accepted before (a second try after a lost reply)
--   fenced    owner or token are not the recorded ones; nothing changed
--   old       seq is below the recorded one; nothing changed

local lease = redis.call('HMGET', KEYS[1], 'owner', 'token', 'seq')
if lease[1] ~= ARGV[1] or lease[2] ~= ARGV[2] then
  return 'fenced'
end

local seq, recorded = tonumber(ARGV[3]), tonumber(lease[3])
if seq == recorded then
  return 'repeated'
elseif seq < recorded then
  return 'old'
end

local time = redis.call('TIME')
local ends = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[5]
redis.call('HSET', KEYS[1], 'seq', ARGV[3], 'basis', ARGV[4], 'until', string.format('%.0f', ends))
for i = 2, #KEYS do
  redis.call('SET', KEYS[i], ARGV[2 * i + 2], 'PX', ARGV[2 * i + 3])
end
return 'written'
