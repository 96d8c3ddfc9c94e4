-- Put an order-book snapshot, unless a newer one is there.
--
-- KEYS[1]  md:{SYM}:snapshot  string, JSON as tickfence/streams/codec.py encodes it: the update id first, the time last
-- ARGV[1]  the snapshot's text
-- ARGV[2]  its lastUpdateId, decimal
-- ARGV[3]  its time, ms
-- ARGV[4]  ms: a stored snapshot that is this much older than ARGV[3] is replaced whatever its update id is, because
--          nobody writes it any more (an exchange that starts its update ids again has lower ones)
--
-- Returns 1 when the snapshot was put, 0 when the stored one has a higher update id.

local head = redis.call('GETRANGE', KEYS[1], 0, 47)
local stored = string.match(head, '^{"lastUpdateId":(%d+),')
if stored then
    -- Decimal text compares right where numbers above 2^53 do not.
    local higher = #stored > #ARGV[2] or (#stored == #ARGV[2] and stored > ARGV[2])
    local tail = redis.call('GETRANGE', KEYS[1], -32, -1)
    local time = tonumber(string.match(tail, '"time":(%d+)}$') or 0)
    if higher and tonumber(ARGV[3]) - time < tonumber(ARGV[4]) then
        return 0
    end
end
redis.call('SET', KEYS[1], ARGV[1])
return 1
