-- Run commands if and only if the caller still has a lease, and renew the lease. Check and commands are one atomic step.
--
-- KEYS[1]  the lease of take.lua
-- KEYS[2] …  keys of the commands, in the same slot
-- ARGV[1]  owner: the caller
-- ARGV[2]  its token
-- ARGV[3]  lease duration from now on, ms
-- ARGV[4]  "1" if the caller can do the work, else ""
-- ARGV[5] …  for each command: which of KEYS is its key, its name, the number of arguments behind the key, and these
--
-- Returns {1, reply, …} with the reply to each command, which may be an error. Returns {0} if owner or token are not the
-- recorded ones, or there is no lease; then nothing changes.

local lease = read('HMGET', KEYS[1], 'owner', 'token')
if lease[1] ~= ARGV[1] or lease[2] ~= ARGV[2] then
  return {0}
end
redis.call('HSET', KEYS[1], 'until', whole(now + ARGV[3]), 'ready', ARGV[4])

local replies = {1}
local a = 5
while a < #ARGV do
  local last = a + 2 + ARGV[a + 2]
  replies[#replies + 1] = redis.pcall(ARGV[a + 1], KEYS[tonumber(ARGV[a])], unpack(ARGV, a + 3, last))
  a = last + 1
end
return replies
