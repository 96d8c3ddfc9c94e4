-- Write reports, or other strings of a symbol, and append to its streams, if and only if the writer still holds the newest
-- token of that symbol.
-- Check and write are one atomic step: a check in one call and a write in the next is a race. An accepted write renews the
-- lease. One call may hold several writes, and each is judged by itself. On a Redis Cluster all keys of a call must be in
-- one slot, so they are those of one symbol.
--
-- KEYS     for each write: lease:{report:<SYMBOL>}, the hash that acquire.lua keeps, then the keys to set:
--          report:<SYMBOL>, or slow:{report:<SYMBOL>} and others in its slot, then the streams to append to:
--          history:{report:<SYMBOL>} and others. What is no stream is deleted first.
-- ARGV[1]  owner: node/incarnation
-- ARGV[2]  lease duration from now on, ms
-- ARGV[3]  time to live of the values, ms
-- ARGV[4]… for each write:
--            fencing token
--            seq: number of this write, above that of every earlier write of this symbol
--            basis: number of the data it was made from; recorded beside seq, it tells a reader how new a write is
--            number of values, which is that of the keys to set
--            number of entries, which is that of the streams
--            the values
--            for each entry: about how many the stream keeps, field, value, least
--              least: 0, or ms beyond all that the writer has seen, if the clock was set back: then a stream that Redis
--              has lost begins again there, so that its ids go on behind those that readers know.
--
-- Returns for each write one of
--   written   accepted
--   repeated  this very write was accepted before (it was sent again after a lost reply)
--   fenced    owner or token are not the recorded ones, or there is no lease; nothing changed
--   old       seq is below the recorded one; nothing changed

local owner, lives = ARGV[1], ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = string.format('%.0f', now + ARGV[2])

local function judge(key, token, seq)
  local lease = redis.pcall('HMGET', key, 'owner', 'token', 'seq')
  if lease[1] ~= owner or lease[2] ~= token then  -- so too if it is no hash: an error has no [1]
    return 'fenced'
  end
  local wanted, recorded = tonumber(seq), tonumber(lease[3])
  if not recorded then
    return 'fenced'  -- an error would refuse the other writes of this call too
  end
  if wanted == recorded then
    return 'repeated'
  elseif wanted < recorded then
    return 'old'
  end
  return 'written'
end

local function append(key, keep, field, value, least)
  local id = '*'
  if now < tonumber(least) then id = least .. '-0' end
  local reply = redis.pcall('XADD', key, 'MAXLEN', '~', keep, id, field, value)
  if type(reply) == 'table' and id ~= '*' then  -- the stream is beyond that id: it goes on
    reply = redis.pcall('XADD', key, 'MAXLEN', '~', keep, '*', field, value)
  end
  if type(reply) == 'table' then  -- an error
    -- It is no stream, or one of its ids is the highest that there can be. Nothing else is a reason to delete it.
    if string.find(reply.err, 'WRONGTYPE', 1, true) or string.find(reply.err, 'exhausted', 1, true) then
      redis.call('DEL', key)
    end
    redis.call('XADD', key, id, field, value)
  end
end

local outcomes = {}
local k, a = 1, 4
while k <= #KEYS do
  local token, seq, basis = ARGV[a], ARGV[a + 1], ARGV[a + 2]
  local values, entries = tonumber(ARGV[a + 3]), tonumber(ARGV[a + 4])
  local first = a + 5 + values  -- of the entries' arguments
  local outcome = judge(KEYS[k], token, seq)
  if outcome == 'written' then
    redis.call('HSET', KEYS[k], 'token', token, 'seq', seq, 'basis', basis, 'until', ends)
    for i = 1, values do
      redis.call('SET', KEYS[k + i], ARGV[a + 4 + i], 'PX', lives)
    end
    for i = 1, entries do
      local e = first + 4 * (i - 1)
      append(KEYS[k + values + i], ARGV[e], ARGV[e + 1], ARGV[e + 2], ARGV[e + 3])
    end
  end
  outcomes[#outcomes + 1] = outcome
  k, a = k + 1 + values + entries, first + 4 * entries
end
return outcomes
