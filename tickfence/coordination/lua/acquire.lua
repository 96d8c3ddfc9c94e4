-- Acquire or extend the lease on one symbol's report.
--
-- KEYS[1]  lease:{report:<SYMBOL>}, a fenced lease, see fencing.lua. Its owner is node/incarnation, and it has more fields:
--            node        the owner's node id
--            generation  newest assignment generation seen
--            seq         number of the last accepted write; only grows
--            basis       number of the data that write was made from
-- ARGV[1]  owner: node/incarnation
-- ARGV[2]  node id
-- ARGV[3]  generation of the assignment that gives the caller the symbol
-- ARGV[4]  lease duration, ms
-- ARGV[5]  the highest token that the caller has had, or 0: Redis may have lost it, and its clock may be behind
--
-- Returns {status, token, seq}, and the holder where the status is conflict. Status is one of
--   held      the caller had it already, and it is extended; with the same token, or with a new one in a newer generation
--   taken     it was free or expired, or this generation is newer: the caller has it, with a new token
--   stale     the caller's generation is older than the recorded one; nothing changed
--   conflict  another owner holds it in the same generation; nothing changed

local lease = redis.call('HMGET', KEYS[1], 'owner', 'token', 'generation', 'seq', 'until')
local owner = lease[1] or ''
local token = tonumber(lease[2]) or 0
local recorded = tonumber(lease[3]) or 0
local seq = tonumber(lease[4])
local ends = tonumber(lease[5]) or 0
local generation = tonumber(ARGV[3])
local claimed = tonumber(ARGV[5])

if generation < recorded then
  return {'stale', token, seq or 0}
end

if owner == ARGV[1] then
  -- Also when the lease has expired: no other owner has acquired it, so no other has written.
  if generation > recorded or not seq or token < 1 or token < claimed then
    -- Redis may have lost its last seconds, in which another owner may have held the lease, with a token that is
    -- forgotten now. A leader that finds Redis again always brings a newer generation. A lease that has lost its token
    -- or the number of its last write gets new ones as well.
    token = next_token(token, claimed + 1)
    seq = math.max(seq or 0, token)
  end
  redis.call('HSET', KEYS[1], 'token', whole(token), 'generation', whole(generation), 'seq', whole(seq),
    'until', whole(now + ARGV[4]))
  return {'held', token, seq}
end

if owner ~= '' and ends > now and generation == recorded then
  return {'conflict', token, seq or 0, owner}
end

token = next_token(token, claimed + 1)
-- Redis may have lost its last writes: the new owner's numbers start above any that they can have had.
seq = math.max(seq or 0, token)
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'node', ARGV[2], 'token', whole(token),
  'generation', whole(generation), 'seq', whole(seq), 'until', whole(now + ARGV[4]))
redis.call('PERSIST', KEYS[1])  -- retire.lua lets it expire
return {'taken', token, seq}
