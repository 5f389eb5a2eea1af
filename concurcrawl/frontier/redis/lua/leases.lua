-- What nodes hold. The value of a lease is "<c, t or -><begun?>:<number>:<group>":
-- coming to its site, there, or neither.

local function parse_lease(value)
  local state, begun, number, group = string.match(value, '^(.)(.):(%S-):(.*)$')
  return { state = state, begun = begun, number = number, group = group }
end

-- Returns the name by which a lease is stored, and what is stored; nil if the node does
-- not hold it, or no longer.
local function lease_of(lease_id)
  local lease = text(lease_id)
  local value = redis.call('HGET', leases_key(node), lease)
  return lease, value and parse_lease(value)
end

local function set_lease(lease, found)
  redis.call('HSET', leases_key(node), lease,
    found.state .. found.begun .. ':' .. found.number .. ':' .. found.group)
end

local function forget(state, group, lease)
  local limiter = limiter_of(group)
  if state == 'c' then
    limiter.coming = limiter.coming - 1
    touch(limiter)
  elseif state == 't' then
    if lease and is_on_way(limiter, lease) then
      sent(limiter, lease, now)
    end
    limiter.in_flight = limiter.in_flight - 1
    touch(limiter)
  end
end

local function end_lease(lease, found)
  redis.call('HDEL', leases_key(node), lease)
  job.leased = job.leased - 1
  forget(found.state, found.group, lease)
end

local done_here = 0
local has_attempts -- whether any request has cost a node its life

local function forget_attempts(number)
  if has_attempts == nil then
    has_attempts = redis.call('EXISTS', keys.attempts) == 1
  end
  if has_attempts then
    redis.call('HDEL', keys.attempts, number)
  end
end

function operations.ack(fields)
  local lease, found = lease_of(fields.lease_id)
  if not found then
    return { is_lost = true }
  end
  end_lease(lease, found)
  redis.call('HDEL', keys.requests, found.number)
  forget_attempts(found.number)
  job.done = job.done + 1
  done_here = done_here + 1
  local added = insert_all(fields.entries)
  return { added = added, first_item = keep_items(fields.items) }
end

function operations.release(fields)
  local lease, found = lease_of(fields.lease_id)
  if found then
    end_lease(lease, found)
    wait_again(found.number)
  end
end

function operations.begun(fields)
  local lease, found = lease_of(fields.lease_id)
  if found then
    found.begun = '1'
    set_lease(lease, found)
  end
end

function operations.start_over(fields)
  local lease, found = lease_of(fields.lease_id)
  if found then
    forget(found.state, found.group, lease)
    found.state = 'c'
    local limiter = limiter_of(found.group)
    limiter.coming = limiter.coming + 1
    touch(limiter)
    set_lease(lease, found)
  end
end
