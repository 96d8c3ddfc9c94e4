-- Register a node, or renew its registration: the heartbeat is the same call.
-- A node id belongs to one live process at a time.
--
-- KEYS[1]  nt:node:<id>, a hash: incarnation, host, pid, started_at, metrics_url, client_id, weight,
--            heartbeat (server ms of the last call), left (server ms of an orderly leave; absent before that).
--            What changes while it works: status_of (the incarnation that the next five are about; an older version
--            that takes the id leaves them as they are), progress (rises with each symbol and message that the main
--            thread has worked on), working (the symbol it works on, or ""), probe (id of the last probe it has
--            taken, or ""), drained ("1" while it takes no messages, or ""), shards ("1" if it knows shards of dispatch).
--            Expires ten minutes after the last heartbeat.
-- ARGV[1]  incarnation
-- ARGV[2]  time to live, ms: a process that is silent for longer is dead
-- ARGV[3]  client id of a process whose connection is gone, or "": that process is dead
-- ARGV[4], ARGV[5] …  field and value, for every field to record
--
-- Returns {"registered", server ms}. If another live process has the id, nothing changes, and it returns
-- {"in use", server ms, its client id, its heartbeat, its host, its pid}.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('HMGET', KEYS[1], 'incarnation', 'heartbeat', 'client_id', 'left', 'host', 'pid')

local other = held[1] and held[1] ~= ARGV[1]
local live = not held[4] and math.abs(now - (tonumber(held[2]) or 0)) < tonumber(ARGV[2])
local gone = ARGV[3] ~= '' and held[3] == ARGV[3]
if other and live and not gone then
  return {'in use', now, held[3] or '', held[2], held[5] or '', held[6] or ''}
end

redis.call('HDEL', KEYS[1], 'left')
redis.call('HSET', KEYS[1], 'incarnation', ARGV[1], 'heartbeat', string.format('%.0f', now), unpack(ARGV, 4))
redis.call('PEXPIRE', KEYS[1], 600000 + ARGV[2])
return {'registered', now}
