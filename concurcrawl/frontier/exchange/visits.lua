-- What nodes ask and tell about a request's visit to its site.

function OPS.limits()
  local group = arg()
  local gate = gate_of(group)
  local is_first = redis.call('SADD', key('groups'), group) == 1
  gate.limit, gate.least_delay, gate.jitter = num(), num(), num()
  gate.rate, gate.burst, gate.min_pause, gate.max_pause = num(), num(), num(), num()
  gate.target, gate.start_delay, gate.max_delay = num(), num(), num()
  if is_first then
    gate.delay = math.max(gate.least_delay, gate.start_delay)
  end
  gate.dirty = true
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
