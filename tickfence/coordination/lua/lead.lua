-- Take the lead among the dispatchers, keep it, or see who has it.
--
-- KEYS[1]  nt:dispatcher, a hash:
--            leader     dispatcher that leads, "" after it resigned
--            client_id  its connection in CLIENT LIST
--            term       number of this lead; only grows, even after Redis lost its data
--            until      server ms at which the lead ends unless it is kept
--            why        why the last leader resigned, "" if it just ended
--            sender     the dispatcher that last said, standing by, that it reaches the broker
--            sender_at  server ms at which it said so
-- ARGV[1]  the caller's name, different for every process start
-- ARGV[2]  the caller's client id
-- ARGV[3]  how long a lead lasts, ms
-- ARGV[4]  client id of a leader whose connection is gone, or "": that leader is deposed
-- ARGV[5]  the highest term that the caller has seen
-- ARGV[6]  "1" if the caller has reached the broker since its last call, else ""
--
-- Returns {1 if the caller leads, else 0; term; server ms; the leader's client id}. If the caller leads, four more: who
-- led before the call ("" if the leader resigned or nobody has led yet), in which term (0 if none is recorded), why that
-- one resigned, and when another dispatcher last said that it reaches the broker (0 if none has).

local held = redis.call('HMGET', KEYS[1], 'leader', 'client_id', 'term', 'until', 'why', 'sender', 'sender_at')
local leader, client_id, recorded = held[1] or '', held[2] or '', tonumber(held[3]) or 0
local term = recorded
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local left = (tonumber(held[4]) or 0) - now
-- No lead lasts longer than ten minutes: the clock was ahead when the rest of a longer one was counted.
local live = leader ~= '' and left > 0 and left <= 600000

if live and leader ~= ARGV[1] and not (ARGV[4] ~= '' and client_id == ARGV[4]) then
  if ARGV[6] ~= '' then
    redis.call('HSET', KEYS[1], 'sender', ARGV[1], 'sender_at', string.format('%.0f', now))
  end
  return {0, term, now, client_id}
end

if not (live and leader == ARGV[1] and term >= tonumber(ARGV[5])) then
  -- A leader that comes back after its lead ended gets a new term: it cannot know what happened in between. So does a
  -- leader that has seen a newer term than the recorded one: Redis may have lost its last second.
  term = math.max(term + 1, tonumber(ARGV[5]) + 1, now)
end
redis.call('HSET', KEYS[1], 'leader', ARGV[1], 'client_id', ARGV[2], 'term', string.format('%.0f', term),
  'until', string.format('%.0f', now + ARGV[3]), 'why', '')
return {1, term, now, ARGV[2], leader, recorded, held[5] or '', held[6] ~= ARGV[1] and tonumber(held[7]) or 0}
