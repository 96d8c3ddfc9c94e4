-- Take a lease that one process has while others stand by, or keep it.
--
-- KEYS[1]  a fenced lease, see fencing.lua, with one more field:
--            ready  "1" while the owner can do the work, else ""
-- ARGV[1]  owner: the caller
-- ARGV[2]  lease duration, ms
-- ARGV[3]  the token that the caller goes on with, or 0 if it wants a new one
-- ARGV[4]  the lowest token to give: above every one that the caller has seen
-- ARGV[5]  "1" if the caller can do the work, else "". Who can takes the lease from an owner who cannot.
-- ARGV[6]  the token of an owner that is behind with the work, as the caller has seen, or 0. It loses the lease, too.
--
-- Returns {1, token}. If another process has the lease, nothing changes, and it returns {0, its token, ms until the end}.

local lease = read('HMGET', KEYS[1], 'owner', 'token', 'until', 'ready')
local left = others_ms(lease[1], lease[3], ARGV[1], ARGV[2])
local recorded, least = tonumber(lease[2]) or 0, tonumber(ARGV[4])
local able = lease[4] == '1' and recorded ~= tonumber(ARGV[6])
-- Redis has lost its newest data if the caller has seen a higher token: who has this lease must get a token above that.
if left > 0 and recorded >= least - 1 and (able or ARGV[5] == '') then
  return {0, recorded, left}
end

local token = tonumber(ARGV[3])
-- An owner whose lease is over goes on with its token: nobody else has had the lease.
if token == 0 or token ~= recorded or lease[1] ~= ARGV[1] then
  token = next_token(recorded, least)
end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'token', whole(token), 'until', whole(now + ARGV[2]), 'ready', ARGV[5])
return {1, token}
