-- Nodes that go, or are taken for dead: what they held is everybody's again.

-- Take back its leases; it may be that one of the requests *killed* it.
local function drop_leases(name, killed)
  local lent = redis.call('HGETALL', key('lent:' .. name))
  for i = 1, #lent, 2 do
    local found = parse_lease(lent[i + 1])
    forget(found.state, found.group, lent[i])
    job.lent = job.lent - 1
    local attempts = 0
    if killed and found.begun == '1' then
      attempts = redis.call('HINCRBY', key('attempts'), found.number, 1)
    end
    if attempts >= max_attempts then
      set_aside(found.number, attempts)
    else
      wait_again(found.number)
    end
  end
end

-- Count its requests without a lease as gone from their sites.
local function drop_guests(name)
  local guests = redis.call('HGETALL', key('guests:' .. name))
  for i = 1, #guests, 2 do
    local gate = gate_of(guests[i])
    gate.in_flight = gate.in_flight - tonumber(guests[i + 1])
    gate.dirty = true
    while is_on_way(gate, '-' .. name) do
      sent(gate, '-' .. name, now)
    end
  end
end

local function drop(name, is_dead)
  drop_leases(name, is_dead)
  drop_guests(name)
  move_items(key('items:' .. name), key('orphans'))
  strand(name)
  redis.call('DEL', key('lent:' .. name), key('guests:' .. name))
  redis.call('ZREM', key('nodes'), name)
  redis.call('HSET', key('node:' .. name), 'incarnation', '', 'left_s', text(now),
    'reply', '', 'is_dead', is_dead and '1' or '0')
  if job.leader == name then
    job.leader = ''
  end
end

-- Drop those that were not heard of for too long.
local function reap()
  local silence = now - job.last_s
  if job.last_s > 0 and silence > lease_s / 2 then
    -- Nobody was heard: Redis itself was away, and no node is to blame.
    for _, name in ipairs(redis.call('ZRANGE', key('nodes'), 0, -1)) do
      redis.call('ZINCRBY', key('nodes'), text(silence), name)
    end
  end
  job.last_s = now
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', key('nodes'), '-inf', text(now))) do
    if name ~= node then
      drop(name, true)
    end
  end
end

local is_leaving = false

function OPS.quit()
  is_leaving = true
  drop(node, false)
  return ''
end
