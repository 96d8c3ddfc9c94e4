-- Replace the desired state, if it is still the one that the caller has read.
--
-- KEYS[1]  nt:desired, a hash: version (only grows), and the fields of desired.py.
-- ARGV[1]  the version that the caller has read; 0 if nothing was stored
-- ARGV[2]  the lowest version to give
-- ARGV[3]  who makes the change, or "" if it is none: the state is stored as it is
-- ARGV[4]  what the change is
-- ARGV[5]  how many changes are kept
-- ARGV[6], ARGV[7] …  field and value, for every field of the new state but its version
--
-- Returns {1, the new version}. If another version is stored than ARGV[1], nothing changes, and it returns {0, the
-- stored version}.

local stored = tonumber(redis.call('HGET', KEYS[1], 'version')) or 0
if stored ~= tonumber(ARGV[1]) then
  return {0, stored}
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local version = tonumber(ARGV[2])
if ARGV[3] ~= '' then
  version = math.max(stored + 1, version, now)
end
redis.call('DEL', KEYS[1])
for i = 6, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
if ARGV[3] ~= '' then
  local changes = cjson.decode(redis.call('HGET', KEYS[1], 'changes') or '[]')
  table.insert(changes, {version = version, at = now, by = ARGV[3], what = ARGV[4]})
  while #changes > tonumber(ARGV[5]) do
    table.remove(changes, 1)
  end
  redis.call('HSET', KEYS[1], 'changes', cjson.encode(changes))
end
redis.call('HSET', KEYS[1], 'version', string.format('%.0f', version))
return {1, version}
