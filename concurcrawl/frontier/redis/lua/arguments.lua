-- What the node says: the header, and how what follows it is read.
--
-- KEYS[1]  the job's key "<tag>:job"; all other keys begin as it does
-- ARGV     a header, then operations; redis_wire.py writes them

local base = string.sub(KEYS[1], 1, -4)
local at = 0

local function arg()
  at = at + 1
  return ARGV[at]
end

local function num()
  return tonumber(arg())
end

local function skip(count)
  at = at + count
end

local function text(number)
  return string.format('%.17g', number)
end

local function key(name)
  return base .. name
end

local node = arg()
local incarnation = arg()
local seq = num()
local now = num()
local lease_s = num()
local want = num()
local spare = num()
local max_attempts = num()
local seed = num()
local cookies_from = num()
local troubled_from = num()
local adopts = num()
local newest_first = num() == 1

local time = redis.call('TIME')
local epoch_s = tonumber(time[1]) + tonumber(time[2]) / 1e6
now = now or epoch_s

local node_key = key('node:' .. node)

-- What a node may say, by name. Each reads its own arguments and returns the answer.
local OPS = {}
