-- What the node says: ARGV[1] is a MessagePack map, which protocol.py encodes and
-- documents (Exchange, and a class for each operation).

local message = cmsgpack.unpack(ARGV[1])

-- The layout of the messages and of what is stored. Nodes of one job agree on it.
local FORMAT = 3

local node = message.node
local lease_s = message.lease_s

local time = redis.call('TIME')
local epoch_s = tonumber(time[1]) + tonumber(time[2]) / 1e6
local now = message.now_s or epoch_s

-- A number as it is stored, without loss.
local function text(number)
  return string.format('%.17g', number)
end

-- What a node may say, by name: each gets the map of its fields and returns what the
-- node is answered, or nothing.
local operations = {}
