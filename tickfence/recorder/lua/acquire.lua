-- Take the right to record one source: the streams of a symbol, or the events.
--
-- KEYS[1]  md:{<SYMBOL>}:recording or nt:events:recording, a hash:
--            owner      name of the recorder that records it, "" when released
--            token      fencing token; only grows, also after Redis lost its data
--            until      server ms when the lease ends
--            at:<kind>  of a stream: id of the last entry that a write-ahead log holds for good;
--                       of a polled value: digest of the last one that does
--            starts     JSON, oldest first, of the last 16 tokens: [{"token", "owner", "at": {kind: its position then}}].
--                       A kind is missing while nothing of it was known.
--          Expires a week after the last note.
-- ARGV[1]  name of the recorder
-- ARGV[2]  lease duration, ms
-- ARGV[3]  the caller's last token, or 0
-- ARGV[4]  number of pairs that follow first
-- ARGV[5]  number of pairs that follow then
-- ARGV[6], ARGV[7] …  kind and position: what the caller has noted under that token
-- then     kind and position: where that token began, of streams that nothing was known of
-- then     kind and position: what the caller's log holds beyond what it has noted
--
-- If the caller's token is the recorded one, nobody has recorded since: it goes on at the end of its log. If Redis has
-- forgotten that token, others may have read what the caller had not noted: it goes on behind what it had.
--
-- Returns {"taken", token, starts, kind, position, …} with where to go on. If another recorder has the lease, nothing
-- changes, and it returns {"held", owner}.

local function id(text)
  local ms, sequence = string.match(text or '', '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(sequence)
end
local function later(one, other)
  local ms, sequence = id(one)
  local other_ms, other_sequence = id(other)
  if not ms or not other_ms then return true end
  return ms > other_ms or (ms == other_ms and sequence > other_sequence)
end

local found = redis.pcall('HGETALL', KEYS[1])
if found.err then
  redis.call('DEL', KEYS[1])  -- it is no hash, so it is no lease
  found = {}
end
local recording = {}
for i = 1, #found, 2 do recording[found[i]] = found[i + 1] end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local owner, ends, ttl = recording['owner'] or '', tonumber(recording['until']) or 0, tonumber(ARGV[2])
-- A lease that lasts longer than any was given while the clock was ahead.
if owner ~= '' and owner ~= ARGV[1] and ends > now and ends - now <= ttl then
  return {'held', owner}
end

local recorded, claimed = tonumber(recording['token']) or 0, tonumber(ARGV[3])
local at = {}
for field, value in pairs(recording) do
  local kind = string.match(field, '^at:(.+)$')
  if kind then at[kind] = value end
end
local known, starts = pcall(cjson.decode, recording['starts'] or '[]')
if not known or type(starts) ~= 'table' then starts = {} end

local function take(first, last)
  for i = first, last, 2 do
    if later(ARGV[i + 1], at[ARGV[i]]) then at[ARGV[i]] = ARGV[i + 1] end
  end
end
local noted = 5 + 2 * ARGV[4]
local begun = noted + 2 * ARGV[5]
if claimed >= recorded then take(6, noted) end
if claimed == recorded and #starts > 0 then
  local own = starts[#starts]
  for i = noted + 1, begun, 2 do
    own.at[ARGV[i]] = own.at[ARGV[i]] or ARGV[i + 1]
  end
  take(begun + 1, #ARGV)
end

-- Two recorders never get the same number, also not where Redis has forgotten one that is ahead of its clock: the last
-- three digits are the recorder's own.
local digits = tonumber(string.sub(redis.sha1hex(ARGV[1]), 1, 4), 16) % 1000
local least = math.max(recorded + 1, claimed + 1, now)
local token = string.format('%.0f', least + (digits - least) % 1000)
table.insert(starts, {token = token, owner = ARGV[1], at = at})
while #starts > 16 do table.remove(starts, 1) end
local text = cjson.encode(starts)

local fields = {'owner', ARGV[1], 'token', token, 'until', string.format('%.0f', now + ttl), 'starts', text}
local reply = {'taken', token, text}
for kind, position in pairs(at) do
  fields[#fields + 1], fields[#fields + 2] = 'at:' .. kind, position
  reply[#reply + 1], reply[#reply + 2] = kind, position
end
redis.call('HSET', KEYS[1], unpack(fields))
redis.call('PEXPIRE', KEYS[1], 604800000)
return reply
