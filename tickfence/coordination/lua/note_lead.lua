-- Note something beside the lead, for the next leader and for readers. Only the leader may.
--
-- KEYS[1]  nt:dispatcher, the hash of lead.lua, with three more fields:
--            desired   version of the desired state that the leader follows
--            verdicts  JSON: which nodes are stuck, and which symbols were in work when
--            shards    JSON: who sends for which shard, see shards.py
-- ARGV[1]  the caller's name
-- ARGV[2]  its term
-- ARGV[3], ARGV[4] …  field and value, for every field to note
--
-- Returns 1, or 0 if the caller is not the recorded leader of that term; then nothing changes.

local held = redis.call('HMGET', KEYS[1], 'leader', 'term')
if held[1] ~= ARGV[1] or tonumber(held[2]) ~= tonumber(ARGV[2]) then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
return 1
