-- What nodes hold. The value of a lease is "<c, t or -><begun?>:<number>:<group>":
-- coming to its site, there, or neither.

local function parse_lease(value)
  local state, begun, number, group = string.match(value, '^(.)(.):(%S-):(.*)$')
  return { state = state, begun = begun, number = number, group = group }
end

local function lease_of(lease)
  local value = redis.call('HGET', key('lent:' .. node), lease)
  return value and parse_lease(value)
end

local function set_lease(lease, found)
  redis.call('HSET', key('lent:' .. node), lease,
    found.state .. found.begun .. ':' .. found.number .. ':' .. found.group)
end

local function forget(state, group, lease)
  local gate = gate_of(group)
  if state == 'c' then
    gate.coming = gate.coming - 1
    gate.dirty = true
  elseif state == 't' then
    if lease and is_on_way(gate, lease) then
      sent(gate, lease, now)
    end
    gate.in_flight = gate.in_flight - 1
    gate.dirty = true
  end
end

local function end_lease(lease, found)
  redis.call('HDEL', key('lent:' .. node), lease)
  job.lent = job.lent - 1
  forget(found.state, found.group, lease)
end

local done_here = 0
local has_attempts -- whether any request has cost a node its life

local function forget_attempts(number)
  if has_attempts == nil then
    has_attempts = redis.call('EXISTS', key('attempts')) == 1
  end
  if has_attempts then
    redis.call('HDEL', key('attempts'), number)
  end
end

function OPS.complete()
  local lease, owner = arg(), arg()
  local found = lease_of(lease)
  if not found then
    skip(5 * num())
    skip(num())
    return 'lost'
  end
  end_lease(lease, found)
  redis.call('HDEL', key('requests'), found.number)
  forget_attempts(found.number)
  job.done = job.done + 1
  done_here = done_here + 1
  local added = insert_all()
  return { added, keep_items(owner) }
end

function OPS.give_back()
  local lease = arg()
  local found = lease_of(lease)
  if found then
    end_lease(lease, found)
    wait_again(found.number)
  end
  return ''
end

function OPS.begun()
  local lease = arg()
  local found = lease_of(lease)
  if found then
    found.begun = '1'
    set_lease(lease, found)
  end
  return ''
end

function OPS.start_over()
  local lease = arg()
  local found = lease_of(lease)
  if found then
    forget(found.state, found.group, lease)
    found.state = 'c'
    local gate = gate_of(found.group)
    gate.coming = gate.coming + 1
    gate.dirty = true
    set_lease(lease, found)
  end
  return ''
end
