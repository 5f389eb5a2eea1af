-- How fast and how many at a time a group may be asked: the rules of limits/limiter.py,
-- and a test compares the two.

local NUMBERS = {
  'in_flight', 'coming', 'opens_at', 'delay', 'paused_until', 'full_at', 'refusals',
  'limit', 'least_delay', 'jitter', 'rate', 'burst', 'min_pause', 'max_pause',
  'target', 'start_delay', 'max_delay', 'asked_delay', 'last', 'is_changed',
}
-- Of those, what the limits of a group are.
local LIMITS = {
  'limit', 'least_delay', 'jitter', 'rate', 'burst', 'min_pause', 'max_pause', 'target',
  'start_delay', 'max_delay',
}
local LONGEST_WAY_S = 10
local IDLE_S = 60
-- Idle groups that one exchange forgets at most: Redis does nothing else meanwhile.
local MOST_FORGOTTEN = 100
local limiters = {}
-- Groups whose place among those that wait may have changed: see queue.lua.
local changed = {}
local default_limits

-- Limits, each under the name that it has here.
local function named_limits(limits)
  local throttle = limits.throttle or { target = 0, start_delay_s = 0, max_delay_s = 0 }
  return {
    limit = limits.in_flight,
    least_delay = limits.delay_s,
    jitter = limits.jitter,
    rate = limits.rate_per_s,
    burst = limits.burst,
    min_pause = limits.min_pause_s,
    max_pause = limits.max_pause_s,
    target = throttle.target,
    start_delay = throttle.start_delay_s,
    max_delay = throttle.max_delay_s,
  }
end

local function set_default_limits(limits)
  default_limits = named_limits(limits)
  for name, value in pairs(default_limits) do
    redis.call('HSET', keys.default_limits, name, text(value))
  end
end

-- The limits of groups that have none of their own.
local function limits_by_default()
  if not default_limits then
    default_limits = {}
    local values = redis.call('HMGET', keys.default_limits, unpack(LIMITS))
    for i, name in ipairs(LIMITS) do
      default_limits[name] = tonumber(values[i])
    end
  end
  return default_limits
end

local function initial_delay(limiter)
  return math.max(limiter.least_delay, limiter.start_delay)
end

local function limiter_of(group)
  local limiter = limiters[group]
  if limiter then
    return limiter
  end
  local stored = redis.call('HGET', keys.limiters, group)
  local state = stored and cmsgpack.unpack(stored) or {}
  limiter = {
    group = group,
    stored = stored,
    -- Requests that were admitted and not sent yet: {who, since when, delay}
    on_way = state.on_way or {},
    is_throttled = state.is_throttled,
    has_own_limits = state.has_own_limits,
  }
  local limits = state.has_own_limits and state or limits_by_default()
  for _, name in ipairs(NUMBERS) do
    limiter[name] = state[name] or limits[name] or 0
  end
  limiter.delay = state.delay or initial_delay(limiter)
  limiters[group] = limiter
  return limiter
end

local function touch(limiter)
  limiter.is_dirty = true
  changed[limiter.group] = true
end

-- Give a group limits of its own, which stay.
local function take_limits(limiter, limits)
  for name, value in pairs(named_limits(limits)) do
    limiter[name] = value
  end
  limiter.has_own_limits = true
  touch(limiter)
end

-- Store what is not 0, nor as it is for a group that was never asked.
local function write_limiter(limiter)
  local state = { is_throttled = limiter.is_throttled }
  if limiter.has_own_limits then
    state.has_own_limits = true
  end
  for _, name in ipairs(NUMBERS) do
    if limiter[name] ~= 0 and (limiter.has_own_limits or not limits_by_default()[name]) then
      state[name] = limiter[name]
    end
  end
  state.delay = limiter.delay ~= initial_delay(limiter) and limiter.delay or nil
  if #limiter.on_way > 0 then
    state.on_way = limiter.on_way
  end
  local value = cmsgpack.pack(state)
  if value ~= limiter.stored then
    redis.call('HSET', keys.limiters, limiter.group, value)
  end
end

-- When a group will be as if it had never been asked; nil if it is in use or must be
-- remembered.
local function idle_at(limiter)
  if limiter.in_flight ~= 0 or limiter.coming ~= 0 or limiter.asked_delay > 0
      or limiter.has_own_limits then
    return nil
  end
  local last, delay, full_at = limiter.last, limiter.delay, limiter.full_at
  local on_way = #limiter.on_way
  if on_way > 0 then -- they were sent by then, though no node has said so
    last = limiter.on_way[on_way][2] + LONGEST_WAY_S
    delay = 0
    for _, way in ipairs(limiter.on_way) do
      delay = math.max(delay, way[3])
    end
    if limiter.rate > 0 then
      full_at = math.max(last, full_at) + on_way / limiter.rate
    end
  end
  local quiet = last > 0 and last + delay + IDLE_S or 0
  local memory = limiter.refusals > 0 and limiter.max_pause or 0
  return math.max(quiet, limiter.opens_at, full_at, limiter.paused_until + memory)
end

-- Forget a group, but not that nodes were told that it is throttled.
local function forget_group(limiter)
  if limiter.is_throttled then
    local value = cmsgpack.pack({ is_throttled = true })
    if value ~= limiter.stored then
      redis.call('HSET', keys.limiters, limiter.group, value)
    end
  elseif limiter.stored then
    redis.call('HDEL', keys.limiters, limiter.group)
  end
  limiters[limiter.group] = nil
end

local seed = message.seed

-- Not math.random, so that a test can foretell it: x -> 16807 x mod 2^31 - 1.
local function uniform(low, high)
  seed = seed * 16807 % 2147483647
  return low + (high - low) * (seed / 2147483647)
end

-- Tell the nodes, once, that the group is throttled.
local function note_throttled(group)
  local limiter = limiter_of(group)
  if not limiter.is_throttled then
    limiter.is_throttled = true
    limiter.is_dirty = true
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
  touch(limiter)
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
  touch(limiter)
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
  touch(limiter)
  if status == 429 or status == 503 then
    note_throttled(group)
    if retry_after or limiter.paused_until <= now then
      if now >= limiter.paused_until + limiter.max_pause then
        limiter.refusals = 0 -- so long ago that the group may have been forgotten
      end
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

-- Forget the groups that are idle by now, and look later at those that are not.
local function forget_idle()
  local found = redis.call('ZRANGEBYSCORE', keys.idle, '-inf', text(now),
    'LIMIT', 0, MOST_FORGOTTEN)
  for _, group in ipairs(found) do
    redis.call('ZREM', keys.idle, group)
    local limiter = limiter_of(group)
    local at = idle_at(limiter)
    limiter.is_dirty = true -- if it is not idle yet, it is looked at again
    if at and at <= now then
      forget_group(limiter)
    end
  end
end

local function write_limiters()
  for group, limiter in pairs(limiters) do
    if limiter.is_dirty then
      local at = idle_at(limiter)
      if at and at <= now then
        forget_group(limiter) -- pairs() allows that a field is cleared
      else
        write_limiter(limiter)
        if at then
          redis.call('ZADD', keys.idle, 'NX', text(at), group)
        end
      end
    end
  end
end
