-- What nodes ask and tell about a request's visit to its site.

local LIMITS = {
  'limit', 'least_delay', 'jitter', 'rate', 'burst', 'min_pause', 'max_pause',
  'target', 'start_delay', 'max_delay',
}

local function take_limits(gate)
  for _, name in ipairs(LIMITS) do
    gate[name] = num()
  end
  gate.dirty = true
end

function OPS.limits()
  local group = arg()
  local gate = gate_of(group)
  local is_first = redis.call('SADD', key('groups'), group) == 1
  if gate.is_changed ~= 0 then -- what nodes are started with counts no longer
    skip(#LIMITS)
    return ''
  end
  take_limits(gate)
  if is_first then
    gate.delay = math.max(gate.least_delay, gate.start_delay)
  end
  return ''
end

function OPS.change_limits()
  local was_free, group = num() == 1, arg()
  local gate = gate_of(group)
  local least_before = gate.least_delay
  local is_first = redis.call('SADD', key('groups'), group) == 1
  take_limits(gate)
  gate.is_changed = 1
  if is_first then
    gate.delay = math.max(gate.least_delay, gate.start_delay)
  elseif gate.least_delay ~= least_before then
    gate.delay = math.max(gate.least_delay, gate.asked_delay)
    if was_free and gate.coming > 0 then
      gate.last = math.max(gate.last, now)
    end
    gate.opens_at = gate.last > 0 and gate.last + gate.delay or 0
    for _, way in ipairs(gate.on_way) do
      way[3] = gate.delay
    end
  end
  trouble(group)
  return ''
end

function OPS.admit()
  local group, lease = arg(), arg()
  local gate = gate_of(group)
  local found = lease ~= '' and lease_of(lease)
  if lease ~= '' and not found then
    return 'lost'
  end
  local pause = pause_left(gate)
  if pause > gate.max_pause then
    return 'paused ' .. text(pause)
  end
  if not has_room(gate) then
    return 'inf'
  end
  expire(gate)
  local when, may_be_sooner = next_start(gate)
  if when > now then
    return (may_be_sooner and 'soon ' or '') .. text(when - now)
  end
  if found and found.group ~= group then -- a middleware has chosen another
    forget(found.state, found.group, lease)
    found.state, found.group = '-', group
  end
  start(gate, found and lease or '-' .. node)
  if found then
    if found.state == 'c' then
      gate.coming = gate.coming - 1
    elseif found.state == 't' then
      gate.in_flight = gate.in_flight - 1 -- asked twice: it is there once
    end
    found.state = 't'
    set_lease(lease, found)
  else
    redis.call('HINCRBY', key('guests:' .. node), group, 1)
  end
  return '0'
end

function OPS.leave()
  local group, lease = arg(), arg()
  local status, latency, retry_after = num(), num(), num()
  if lease == '' then
    redis.call('HINCRBY', key('guests:' .. node), group, -1)
    forget('t', group)
  else
    local found = lease_of(lease)
    if found then
      forget(found.state, found.group, lease)
      found.state = '-'
      set_lease(lease, found)
    end
  end
  hear(group, status, latency, retry_after)
  return ''
end

function OPS.sent()
  local group, lease = arg(), arg()
  sent(gate_of(group), lease ~= '' and lease or '-' .. node, now - num())
  return ''
end

function OPS.slow_down()
  local group, delay = arg(), num()
  local gate = gate_of(group)
  gate.asked_delay = math.max(gate.asked_delay, delay)
  gate.delay = math.max(gate.delay, delay)
  gate.dirty = true
  trouble(group)
  return ''
end
