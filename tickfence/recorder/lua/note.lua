-- Note up to where a source is in the caller's write-ahead log for good, and renew its lease.
--
-- KEYS[1]  the hash of acquire.lua
-- ARGV[1]  token
-- ARGV[2]  lease duration, ms
-- ARGV[3]  number of pairs that follow first
-- ARGV[4], ARGV[5] …  kind and position, that many: where this token began, of streams that acquire.lua knew nothing of
-- then     kind and position: up to where it has come
--
-- Returns {1}. If the token is not the recorded one, nothing changes, and it returns {0, starts}.

local found = read('HMGET', KEYS[1], 'token', 'starts')
if found[1] ~= ARGV[1] then
  return {0, found[2] or '[]'}
end

local fields, behind = {}, 3 + 2 * ARGV[3]
if behind > 3 then
  local starts = cjson.decode(found[2])
  local own = starts[#starts]
  for i = 4, behind, 2 do
    own.at[ARGV[i]] = own.at[ARGV[i]] or ARGV[i + 1]
  end
  fields = {'starts', cjson.encode(starts)}
end
for i = behind + 1, #ARGV, 2 do
  fields[#fields + 1], fields[#fields + 2] = 'at:' .. ARGV[i], ARGV[i + 1]
end
redis.call('HSET', KEYS[1], 'until', whole(now + ARGV[2]), unpack(fields))
redis.call('PEXPIRE', KEYS[1], 604800000)
return {1}
