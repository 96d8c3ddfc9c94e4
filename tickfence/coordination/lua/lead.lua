-- Take the lead among the dispatchers, keep it, or see who has it. Each call is the caller's sign of life, too.
--
-- KEYS[1]  nt:dispatcher, a hash:
--            leader     dispatcher that leads, "" after it resigned
--            client_id  its connection in CLIENT LIST
--            term       number of this lead; only grows, even after Redis lost its data
--            until      server ms at which the lead ends unless it is kept
--            why        why the last leader resigned, "" if it just ended
--            shards     who sends for which shard: note_lead.lua
--            beat:<name>  each dispatcher: its client id, server ms of its last call, and server ms at which it last said
--                       that it reaches the broker, 0 if it never has
-- ARGV[1]  the caller's name, different for every process start
-- ARGV[2]  the caller's client id
-- ARGV[3]  how long a lead lasts, ms
-- ARGV[4]  client id of a leader whose connection is gone, or "": that leader is deposed
-- ARGV[5]  the highest term that the caller has seen
-- ARGV[6]  "1" if the caller has reached the broker since its last call, else ""
--
-- Returns {1 if the caller leads, else 0; term; server ms; the leader's client id; shards}. If the caller leads, more: who
-- led before the call ("" if the leader resigned or nobody has led yet), in which term (0 if none is recorded), why that
-- one resigned, and then field and value of each dispatcher.

local own = 'beat:' .. ARGV[1]
local held = redis.call('HMGET', KEYS[1], 'leader', 'client_id', 'term', 'until', 'why', 'shards', own)
local leader, client_id, recorded, shards = held[1] or '', held[2] or '', tonumber(held[3]) or 0, held[6] or ''
local term = recorded
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local left = (tonumber(held[4]) or 0) - now
-- No lead lasts longer than ten minutes: the clock was ahead when the rest of a longer one was counted.
local live = leader ~= '' and left > 0 and left <= 600000

local function whole(number) return string.format('%.0f', number) end

local sent = ARGV[6] ~= '' and whole(now) or string.match(held[7] or '', '%d+$') or '0'
redis.call('HSET', KEYS[1], own, ARGV[2] .. ' ' .. whole(now) .. ' ' .. sent)

if live and leader ~= ARGV[1] and not (ARGV[4] ~= '' and client_id == ARGV[4]) then
  if tonumber(ARGV[5]) > term then
    -- Redis may have lost its last second, and the leader does not know this term: the lead goes on in a newer one.
    term = tonumber(ARGV[5]) + 1
    redis.call('HSET', KEYS[1], 'term', whole(term))
  end
  return {0, term, now, client_id, shards}
end

if not (live and leader == ARGV[1] and term >= tonumber(ARGV[5])) then
  -- A leader that comes back after its lead ended gets a new term: it cannot know what happened in between. So does a
  -- leader that has seen a newer term than the recorded one: Redis may have lost its last second.
  term = math.max(term + 1, tonumber(ARGV[5]) + 1, now)
end
redis.call('HSET', KEYS[1], 'leader', ARGV[1], 'client_id', ARGV[2], 'term', whole(term), 'until', whole(now + ARGV[3]),
  'why', '')

local reply = {1, term, now, ARGV[2], shards, leader, recorded, held[5] or ''}
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  if string.sub(fields[i], 1, 5) == 'beat:' then
    local heard = tonumber(string.match(fields[i + 1], ' (%d+) ')) or 0
    if math.abs(now - heard) > 60000 then
      redis.call('HDEL', KEYS[1], fields[i])  -- it ended without a word; one that lives calls again
    else
      reply[#reply + 1] = fields[i]
      reply[#reply + 1] = fields[i + 1]
    end
  end
end
return reply
