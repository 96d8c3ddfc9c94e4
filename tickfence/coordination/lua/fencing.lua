-- What the scripts of fenced leases share; it stands before each of them. See Script.
--
-- A fenced lease is a hash with at least these fields:
--   owner  who may write, "" when released
--   token  fencing token; only grows, also after Redis lost its data
--   until  server ms when the lease ends

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Returns a number as text. Lua itself writes 1.7e+12.
local function whole(number) return string.format('%.0f', number) end

-- Returns the list that a command reads of the lease at a key. What is no hash is no lease, and is deleted.
local function read(command, key, ...)
  local found = redis.pcall(command, key, ...)
  if found.err then
    redis.call('DEL', key)
    return {}
  end
  return found
end

-- Returns for how many more ms another than the caller has the lease, which lasts for `ttl` ms; 0 if none has it.
local function others_ms(owner, ends, caller, ttl)
  local left = (tonumber(ends) or 0) - now
  -- A lease that lasts longer than any was given while the clock was ahead.
  local live = left > 0 and left <= tonumber(ttl)
  return owner and owner ~= '' and owner ~= caller and live and left or 0
end

-- Returns the token of a new owner.
local function next_token(recorded, least)
  return math.max((tonumber(recorded) or 0) + 1, tonumber(least), now)
end
