-- How fast and how many at a time a group may be asked: the rules of limits.py, and a
-- test compares the two.

local NUMBERS = {
  'in_flight', 'coming', 'opens_at', 'delay', 'paused_until', 'full_at', 'refusals',
  'limit', 'least_delay', 'jitter', 'rate', 'burst', 'min_pause', 'max_pause',
  'target', 'start_delay', 'max_delay', 'asked_delay', 'last', 'is_changed',
}
local GATE_FIELDS = { unpack(NUMBERS) }
GATE_FIELDS[#GATE_FIELDS + 1] = 'on_way'
local LONGEST_WAY_S = 10
local gates = {}

local function gate_of(group)
  local gate = gates[group]
  if gate then
    return gate
  end
  gate = { dirty = false, old = {} }
  local values = redis.call('HMGET', key('gate:' .. group), unpack(GATE_FIELDS))
  for i, name in ipairs(NUMBERS) do
    gate[name] = tonumber(values[i]) or 0
    gate.old[name] = gate[name]
  end
  -- Requests that were admitted and not sent yet: {who, since when, delay}
  gate.old_on_way = values[#GATE_FIELDS] or ''
  gate.on_way = gate.old_on_way == '' and {} or cmsgpack.unpack(gate.old_on_way)
  if not values[12] then -- nobody has said its limits
    gate.burst, gate.min_pause, gate.max_pause = 1, 1, 600
  end
  gates[group] = gate
  return gate
end

local function write_gates()
  for group, gate in pairs(gates) do
    if gate.dirty then
      local values = {}
      for _, name in ipairs(NUMBERS) do
        if gate[name] ~= gate.old[name] then
          values[#values + 1] = name
          values[#values + 1] = text(gate[name])
        end
      end
      local on_way = #gate.on_way > 0 and cmsgpack.pack(gate.on_way) or ''
      if on_way ~= gate.old_on_way then
        values[#values + 1] = 'on_way'
        values[#values + 1] = on_way
      end
      if #values > 0 then
        redis.call('HSET', key('gate:' .. group), unpack(values))
      end
    end
  end
end

-- Not math.random, so that a test can foretell it: x -> 16807 x mod 2^31 - 1.
local function uniform(low, high)
  seed = seed * 16807 % 2147483647
  return low + (high - low) * (seed / 2147483647)
end

local function trouble(group)
  if redis.call('HSETNX', key('gate:' .. group), 'troubled', 1) == 1 then
    redis.call('RPUSH', key('troubled'), group)
  end
end

local function has_room(gate)
  return gate.limit == 0 or gate.in_flight < gate.limit
end

local function pause_left(gate)
  return math.max(0, gate.paused_until - now)
end

local function least_delay(gate)
  return math.max(gate.least_delay, gate.asked_delay)
end

local function has_promise(gate)
  return least_delay(gate) > 0 or gate.rate > 0
end

-- Returns the earliest time for a start, and whether somebody's being sent may help.
local function next_start(gate)
  local earliest = math.max(gate.opens_at, gate.paused_until)
  local on_way = #gate.on_way
  if gate.rate > 0 then
    local spare = gate.burst - 1 - on_way
    earliest = math.max(earliest, gate.full_at - spare / gate.rate)
  end
  local most = least_delay(gate) > 0 and 1 or gate.burst
  if on_way > 0 and on_way >= most then
    earliest = math.max(earliest, gate.on_way[1][2] + LONGEST_WAY_S)
  end
  return earliest, on_way > 0
end

local function depart(gate, when, delay)
  if gate.rate > 0 then
    gate.full_at = math.max(when, gate.full_at) + 1 / gate.rate
  end
  gate.last = math.max(gate.last, when)
  gate.opens_at = math.max(gate.opens_at, when + math.max(delay, gate.asked_delay))
  gate.dirty = true
end

local function is_on_way(gate, who)
  for _, way in ipairs(gate.on_way) do
    if way[1] == who then
      return true
    end
  end
  return false
end

local function sent(gate, who, when)
  for i, way in ipairs(gate.on_way) do
    if way[1] == who then
      table.remove(gate.on_way, i)
      depart(gate, when, way[3])
      return
    end
  end
  if has_promise(gate) then
    depart(gate, when, gate.delay)
  end
end

local function expire(gate)
  while gate.on_way[1] and now >= gate.on_way[1][2] + LONGEST_WAY_S do
    depart(gate, now, table.remove(gate.on_way, 1)[3])
  end
end

local function start(gate, who)
  gate.dirty = true
  gate.in_flight = gate.in_flight + 1
  gate.last = now
  local delay = 0
  if gate.delay > 0 then
    delay = math.max(0, gate.delay * (1 + uniform(-gate.jitter, gate.jitter)))
  end
  if has_promise(gate) then
    table.insert(gate.on_way, { who, now, delay })
  else -- AutoThrottle's delay alone is an aim, and no promise
    gate.opens_at = now + delay
  end
end

local function adapt(gate, latency, status)
  local target = latency / gate.target
  local delay = math.max(target, (gate.delay + target) / 2)
  delay = math.max(math.min(delay, gate.max_delay), least_delay(gate))
  if status == 200 or delay > gate.delay then
    gate.delay = delay
  end
end

local function hear(group, status, latency, retry_after)
  local gate = gate_of(group)
  gate.dirty = true
  if status == 429 or status == 503 then
    trouble(group)
    if retry_after or gate.paused_until <= now then
      local pause = gate.min_pause * 2 ^ gate.refusals * uniform(1, 1.5)
      pause = retry_after or math.min(pause, gate.max_pause)
      gate.refusals = math.min(gate.refusals + 1, 30)
      gate.paused_until = math.max(gate.paused_until, now + pause)
    end
  elseif status then
    gate.refusals = 0
  end
  if gate.target > 0 and latency then
    adapt(gate, latency, status)
  end
end

-- When a request of the group may be lent: a time, or nil if something must end first.
local function lend_at(gate)
  if gate.limit ~= 0 and gate.in_flight + gate.coming >= gate.limit then
    return nil
  end
  if (gate.delay > 0 or gate.rate > 0) and gate.coming > 0 then
    return nil
  end
  local pause = pause_left(gate)
  if pause > 0 and pause <= gate.max_pause then
    return now + pause
  end
  return now
end
