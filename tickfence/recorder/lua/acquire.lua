-- Take the right to record one source: the streams of a symbol, or the events.
--
-- KEYS[1]  md:{<SYMBOL>}:recording or nt:events:recording, a fenced lease, see fencing.lua. Its owner is the name of a
--          recorder, and it has more fields:
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
  return string.match(text or '', '^(%d+)-(%d+)$')
end
-- Decimal text compares right where numbers above 2^53 do not.
local function higher(one, other)
  return #one > #other or (#one == #other and one > other)
end
local function later(one, other)
  local ms, sequence = id(one)
  local other_ms, other_sequence = id(other)
  if not ms or not other_ms then return true end
  return higher(ms, other_ms) or (ms == other_ms and higher(sequence, other_sequence))
end

local found = read('HGETALL', KEYS[1])
local recording = {}
for i = 1, #found, 2 do recording[found[i]] = found[i + 1] end

if others_ms(recording['owner'], recording['until'], ARGV[1], ARGV[2]) > 0 then
  return {'held', recording['owner']}
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
local least = next_token(recorded, claimed + 1)
local token = whole(least + (digits - least) % 1000)
table.insert(starts, {token = token, owner = ARGV[1], at = at})
while #starts > 16 do table.remove(starts, 1) end
local text = cjson.encode(starts)

local fields = {'owner', ARGV[1], 'token', token, 'until', whole(now + ARGV[2]), 'starts', text}
local reply = {'taken', token, text}
for kind, position in pairs(at) do
  fields[#fields + 1], fields[#fields + 2] = 'at:' .. kind, position
  reply[#reply + 1], reply[#reply + 2] = kind, position
end
redis.call('HSET', KEYS[1], unpack(fields))
redis.call('PEXPIRE', KEYS[1], 604800000)
return reply
