-- How fast and how many at a time a group may be asked: the rules of limits/limiter.py,
-- and a test compares the two.

local NUMBERS = {
  'in_flight', 'coming', 'opens_at', 'delay', 'paused_until', 'full_at', 'refusals',
  'limit', 'least_delay', 'jitter', 'rate', 'burst', 'min_pause', 'max_pause',
  'target', 'start_delay', 'max_delay', 'asked_delay', 'last', 'is_changed',
}
local LIMITER_FIELDS = { unpack(NUMBERS) }
LIMITER_FIELDS[#LIMITER_FIELDS + 1] = 'on_way'
local LONGEST_WAY_S = 10
local limiters = {}

local function limiter_of(group)
  local limiter = limiters[group]
  if limiter then
    return limiter
  end
  limiter = { dirty = false, old = {} }
  local values = redis.call('HMGET', limiter_key(group), unpack(LIMITER_FIELDS))
  for i, name in ipairs(NUMBERS) do
    limiter[name] = tonumber(values[i]) or 0
    limiter.old[name] = limiter[name]
  end
  -- Requests that were admitted and not sent yet: {who, since when, delay}
  limiter.old_on_way = values[#LIMITER_FIELDS] or ''
  limiter.on_way = limiter.old_on_way == '' and {} or cmsgpack.unpack(limiter.old_on_way)
  if not values[12] then -- its limits are not known yet
    limiter.burst, limiter.min_pause, limiter.max_pause = 1, 1, 600
  end
  limiters[group] = limiter
  return limiter
end

local function write_limiters()
  for group, limiter in pairs(limiters) do
    if limiter.dirty then
      local values = {}
      for _, name in ipairs(NUMBERS) do
        if limiter[name] ~= limiter.old[name] then
          values[#values + 1] = name
          values[#values + 1] = text(limiter[name])
        end
      end
      local on_way = #limiter.on_way > 0 and cmsgpack.pack(limiter.on_way) or ''
      if on_way ~= limiter.old_on_way then
        values[#values + 1] = 'on_way'
        values[#values + 1] = on_way
      end
      if #values > 0 then
        redis.call('HSET', limiter_key(group), unpack(values))
      end
    end
  end
end

local seed = message.seed

-- Not math.random, so that a test can foretell it: x -> 16807 x mod 2^31 - 1.
local function uniform(low, high)
  seed = seed * 16807 % 2147483647
  return low + (high - low) * (seed / 2147483647)
end

local function note_throttled(group)
  if redis.call('HSETNX', limiter_key(group), 'throttled', 1) == 1 then
    redis.call('RPUSH', keys.throttled, group)
  end
end

local function has_capacity(limiter)
  return limiter.limit == 0 or limiter.in_flight < limiter.limit
end

local function pause_left(limiter)
  return math.max(0, limiter.paused_until - now)
end

local function least_delay(limiter)
  return math.max(limiter.least_delay, limiter.asked_delay)
end

local function is_spaced(limiter)
  return least_delay(limiter) > 0 or limiter.rate > 0
end

-- Returns the earliest time for a start, and whether it may be sooner: when a request
-- that was admitted is reported as sent.
local function next_start(limiter)
  local earliest = math.max(limiter.opens_at, limiter.paused_until)
  local on_way = #limiter.on_way
  if limiter.rate > 0 then
    local tokens = limiter.burst - 1 - on_way
    earliest = math.max(earliest, limiter.full_at - tokens / limiter.rate)
  end
  local most = least_delay(limiter) > 0 and 1 or limiter.burst
  if on_way > 0 and on_way >= most then
    earliest = math.max(earliest, limiter.on_way[1][2] + LONGEST_WAY_S)
  end
  return earliest, on_way > 0
end

local function depart(limiter, when, delay)
  if limiter.rate > 0 then
    limiter.full_at = math.max(when, limiter.full_at) + 1 / limiter.rate
  end
  limiter.last = math.max(limiter.last, when)
  limiter.opens_at = math.max(limiter.opens_at, when + math.max(delay, limiter.asked_delay))
  limiter.dirty = true
end

local function is_on_way(limiter, who)
  for _, way in ipairs(limiter.on_way) do
    if way[1] == who then
      return true
    end
  end
  return false
end

local function sent(limiter, who, when)
  for i, way in ipairs(limiter.on_way) do
    if way[1] == who then
      table.remove(limiter.on_way, i)
      depart(limiter, when, way[3])
      return
    end
  end
  if is_spaced(limiter) then
    depart(limiter, when, limiter.delay)
  end
end

local function expire(limiter)
  while limiter.on_way[1] and now >= limiter.on_way[1][2] + LONGEST_WAY_S do
    depart(limiter, now, table.remove(limiter.on_way, 1)[3])
  end
end

local function start(limiter, who)
  limiter.dirty = true
  limiter.in_flight = limiter.in_flight + 1
  limiter.last = now
  local delay = 0
  if limiter.delay > 0 then
    delay = math.max(0, limiter.delay * (1 + uniform(-limiter.jitter, limiter.jitter)))
  end
  if is_spaced(limiter) then
    table.insert(limiter.on_way, { who, now, delay })
  else -- AutoThrottle's delay alone is a target, not a limit
    limiter.opens_at = now + delay
  end
end

local function adapt(limiter, latency, status)
  local target = latency / limiter.target
  local delay = math.max(target, (limiter.delay + target) / 2)
  delay = math.max(math.min(delay, limiter.max_delay), least_delay(limiter))
  if status == 200 or delay > limiter.delay then
    limiter.delay = delay
  end
end

-- Learn from how a request went.
local function learn(group, status, latency, retry_after)
  local limiter = limiter_of(group)
  limiter.dirty = true
  if status == 429 or status == 503 then
    note_throttled(group)
    if retry_after or limiter.paused_until <= now then
      local pause = limiter.min_pause * 2 ^ limiter.refusals * uniform(1, 1.5)
      pause = retry_after or math.min(pause, limiter.max_pause)
      limiter.refusals = math.min(limiter.refusals + 1, 30)
      limiter.paused_until = math.max(limiter.paused_until, now + pause)
    end
  elseif status then
    limiter.refusals = 0
  end
  if limiter.target > 0 and latency then
    adapt(limiter, latency, status)
  end
end

-- When a request of the group may be leased: a time, or nil if another must end first.
local function lease_at(limiter)
  if limiter.limit ~= 0 and limiter.in_flight + limiter.coming >= limiter.limit then
    return nil
  end
  if (limiter.delay > 0 or limiter.rate > 0) and limiter.coming > 0 then
    return nil
  end
  local pause = pause_left(limiter)
  if pause > 0 and pause <= limiter.max_pause then
    return now + pause
  end
  return now
end
