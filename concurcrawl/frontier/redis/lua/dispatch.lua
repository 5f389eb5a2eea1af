-- Which requests the node gets: the highest priority first; among groups of the same,
-- the one with the fewest in flight, then the one whose turn is the oldest.

local function read_heads()
  local all = redis.call('HGETALL', keys.heads)
  for i = 1, #all, 2 do
    if heads[all[i]] == nil then
      heads[all[i]] = parse_head(all[i + 1])
    end
  end
end

local function dispatch(group)
  local limiter = limiter_of(group)
  local waits = waiting_key(group)
  local member = redis.call('ZPOPMIN', waits)[1]
  local following = redis.call('ZRANGE', waits, 0, 0, 'WITHSCORES')
  if following[1] then
    job.turns = job.turns + 1
    set_head(group, -tonumber(following[2]), job.turns)
  else
    heads[group] = false
    redis.call('HDEL', keys.heads, group)
  end
  local number = text(number_of(member))
  local queued, _, _, _, payload =
    cmsgpack.unpack(redis.call('HGET', keys.requests, number))
  job.leases = job.leases + 1
  job.waiting = job.waiting - 1
  job.leased = job.leased + 1
  limiter.coming = limiter.coming + 1
  limiter.dirty = true
  local lease = text(job.leases)
  redis.call('HSET', leases_key(node), lease, 'c0:' .. number .. ':' .. group)
  return {
    lease_id = job.leases, group = group, payload = payload, queued_s = queued,
  }
end

-- Groups of which requests may be leased, as a heap: the one that is served next is the first.

local open = {}

-- Is the group at one place of the heap to be served before the one at another?
local function precedes(i, j)
  local one, other = heads[open[i]], heads[open[j]]
  if one[1] ~= other[1] then
    return one[1] > other[1]
  end
  local limiter, other_limiter = limiters[open[i]], limiters[open[j]]
  local load = limiter.in_flight + limiter.coming
  local other_load = other_limiter.in_flight + other_limiter.coming
  if load ~= other_load then
    return load < other_load
  end
  return one[2] < other[2]
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

-- Fill the heap with the groups of which requests may be leased now.
local function open_all()
  for group, head in pairs(heads) do
    local when = head and lease_at(limiter_of(group))
    if when and when <= now then
      open[#open + 1] = group
    end
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
    local when = heads[group] and lease_at(limiters[group])
    if not when or when > now then
      open[1] = open[#open]
      open[#open] = nil
    end
    sink(1)
  end
  return leases
end

-- Returns in how many seconds time alone lets a request be leased; nil if it does not.
local function ready_in()
  local soonest = nil
  for group, head in pairs(heads) do
    local when = head and lease_at(limiter_of(group))
    if when and (not soonest or when < soonest) then
      soonest = when
    end
  end
  return soonest and math.max(0, soonest - now)
end

-- Lease to the node what it has free capacity for. Returns that, and when there is more.
local function dispatch_all()
  local want, prefetch = message.want, message.prefetch
  if prefetch > 0 and job.waiting <= want * redis.call('ZCARD', keys.nodes) then
    want = want - prefetch -- others have use for them now
  end
  read_heads()
  open_all()
  local leases = dispatch_most(want)
  return leases, ready_in()
end
