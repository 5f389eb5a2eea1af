-- Which requests the node gets: the highest priority first; among groups of the same,
-- the one with the fewest in flight, then the one whose turn is the oldest.

local function dispatch(group)
  local limiter, waiting = limiter_of(group), waiting_group(group)
  local waits = waiting_key(group)
  local member = redis.call('ZPOPMIN', waits)[1]
  local following = redis.call('ZRANGE', waits, 0, 0, 'WITHSCORES')
  if following[1] then
    waiting.priority, waiting.turn = -tonumber(following[2]), next_turn()
  else
    waiting.priority = nil
  end
  local number = text(number_of(member))
  local queued, _, _, _, payload =
    cmsgpack.unpack(redis.call('HGET', keys.requests, number))
  job.leases = job.leases + 1
  job.waiting = job.waiting - 1
  job.leased = job.leased + 1
  limiter.coming = limiter.coming + 1
  touch(limiter)
  local lease = text(job.leases)
  redis.call('HSET', leases_key(node), lease, 'c0:' .. number .. ':' .. group)
  return {
    lease_id = job.leases, group = group, payload = payload, queued_s = queued,
  }
end

-- Pauses that one exchange looks at: many may end at the same time.
local MOST_DUE = 500

-- Groups of which requests may be leased, as a heap: the one that is served next is the first.

local open = {}

-- Is the group at one place of the heap to be served before the one at another?
local function precedes(i, j)
  local one, other = waiting_groups[open[i]], waiting_groups[open[j]]
  if one.priority ~= other.priority then
    return one.priority > other.priority
  end
  local limiter, other_limiter = limiters[open[i]], limiters[open[j]]
  local load = limiter.in_flight + limiter.coming
  local other_load = other_limiter.in_flight + other_limiter.coming
  if load ~= other_load then
    return load < other_load
  end
  return one.turn < other.turn
end

local function sink(i)
  while 2 * i <= #open do
    local child = 2 * i
    if child < #open and precedes(child + 1, child) then
      child = child + 1
    end
    if not precedes(child, i) then
      return
    end
    open[i], open[child] = open[child], open[i]
    i = child
  end
end

local function may_lease(group)
  local when = lease_at(limiter_of(group))
  return when and when <= now
end

-- File the groups whose pauses are over.
local function file_due()
  local due = redis.call('ZRANGEBYSCORE', keys.paused, '-inf', text(now),
    'LIMIT', 0, MOST_DUE)
  for _, group in ipairs(due) do
    changed[group] = true
  end
  file_changed()
end

-- Returns the groups, *count* at most, that are served next.
local function next_groups(count)
  while true do
    local groups = {}
    for i, entry in ipairs(redis.call('ZRANGE', keys.ready, 0, count - 1)) do
      groups[i] = string.match(entry, '^%d+:(.*)$')
    end
    for _, group in ipairs(groups) do
      if not may_lease(group) then -- a pause that was too long to wait for is no longer
        changed[group] = true
      end
    end
    if not next(changed) then
      return groups
    end
    file_changed()
  end
end

-- Fill the heap with the groups that so many requests come from at most. A group that
-- has been served comes after its equals, so no more than one a request are needed.
local function open_next(count)
  if count > 0 then
    open = next_groups(count)
  end
  for _, group in ipairs(open) do
    waiting_group(group)
  end
  for i = math.floor(#open / 2), 1, -1 do
    sink(i)
  end
end

local function dispatch_most(count)
  local leases = {}
  while #leases < count and #open > 0 do
    local group = open[1]
    leases[#leases + 1] = dispatch(group)
    if not (waiting_groups[group].priority and may_lease(group)) then
      open[1] = open[#open]
      open[#open] = nil
    end
    sink(1)
  end
  return leases
end

-- Returns in how many seconds time alone lets a request be leased; nil if it does not.
local function ready_in()
  if next_groups(1)[1] then
    return 0
  end
  local soonest = redis.call('ZRANGE', keys.paused, 0, 0, 'WITHSCORES')[2]
  return soonest and math.max(0, tonumber(soonest) - now)
end

-- Lease to the node what it has free capacity for. Returns that, and when there is more.
local function dispatch_all()
  local want, prefetch = message.want, message.prefetch
  if prefetch > 0 and job.waiting <= want * redis.call('ZCARD', keys.nodes) then
    want = want - prefetch -- others have use for them now
  end
  file_due()
  open_next(want)
  local leases = dispatch_most(want)
  file_changed()
  return leases, ready_in()
end
