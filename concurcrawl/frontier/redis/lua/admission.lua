-- What nodes ask and tell about a request at its site, and the limits of its group.

-- Who is on the way to a site: a lease, or a node's requests without one.
local unleased = '-' .. node

function operations.limits(fields)
  local limiter = limiter_of(fields.group)
  if limiter.is_changed ~= 0 then -- what nodes are started with counts no longer
    return
  end
  local is_first = not limiter.has_own_limits
  take_limits(limiter, fields.limits)
  if is_first then
    limiter.delay = math.max(
      limiter.least_delay, limiter.start_delay, limiter.asked_delay)
  end
end

function operations.change_limits(fields)
  local limiter = limiter_of(fields.group)
  local least_before = limiter.least_delay
  take_limits(limiter, fields.limits)
  limiter.is_changed = 1
  if limiter.least_delay ~= least_before then
    limiter.delay = math.max(limiter.least_delay, limiter.asked_delay)
    if fields.was_free and limiter.coming > 0 then
      limiter.last = math.max(limiter.last, now)
    end
    limiter.opens_at = limiter.last > 0 and limiter.last + limiter.delay or 0
    for _, way in ipairs(limiter.on_way) do
      way[3] = limiter.delay
    end
  end
  note_throttled(fields.group)
end

function operations.admit(fields)
  local group, lease, found = fields.group, unleased, nil
  local limiter = limiter_of(group)
  if fields.lease_id then
    lease, found = lease_of(fields.lease_id)
    if not found then
      return { is_lost = true }
    end
  end
  local pause = pause_left(limiter)
  if pause > limiter.max_pause then
    return { paused_s = pause }
  end
  if not has_capacity(limiter) then
    return { wait_s = math.huge }
  end
  expire(limiter)
  local when, may_be_sooner = next_start(limiter)
  if when > now then
    return { wait_s = when - now, may_be_sooner = may_be_sooner }
  end
  if found and found.group ~= group then -- a middleware has chosen another
    forget(found.state, found.group, lease)
    found.state, found.group = '-', group
  end
  start(limiter, lease)
  if found then
    if found.state == 'c' then
      limiter.coming = limiter.coming - 1
    elseif found.state == 't' then
      limiter.in_flight = limiter.in_flight - 1 -- asked twice: it is there once
    end
    found.state = 't'
    set_lease(lease, found)
  else
    redis.call('HINCRBY', unleased_key(node), group, 1)
  end
  return { wait_s = 0 }
end

function operations.leave(fields)
  if fields.lease_id then
    local lease, found = lease_of(fields.lease_id)
    if found then
      forget(found.state, found.group, lease)
      found.state = '-'
      set_lease(lease, found)
    end
  else
    redis.call('HINCRBY', unleased_key(node), fields.group, -1)
    forget('t', fields.group)
  end
  local result = fields.result
  learn(fields.group, result.status, result.latency_s, result.retry_after_s)
end

function operations.sent(fields)
  local who = fields.lease_id and text(fields.lease_id) or unleased
  sent(limiter_of(fields.group), who, now - fields.ago_s)
end

function operations.slow_down(fields)
  local limiter = limiter_of(fields.group)
  limiter.asked_delay = math.max(limiter.asked_delay, fields.delay_s)
  limiter.delay = math.max(limiter.delay, fields.delay_s)
  touch(limiter)
  note_throttled(fields.group)
end
