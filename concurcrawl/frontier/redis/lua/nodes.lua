-- Nodes that go, or are taken for dead: others may have what they held.

-- Take back its leases; it may be that one of the requests *killed* it.
local function drop_leases(name, killed)
  local leases = redis.call('HGETALL', leases_key(name))
  for i = 1, #leases, 2 do
    local found = parse_lease(leases[i + 1])
    forget(found.state, found.group, leases[i])
    job.leased = job.leased - 1
    local attempts = 0
    if killed and found.begun == '1' then
      attempts = redis.call('HINCRBY', keys.attempts, found.number, 1)
    end
    if attempts >= message.max_attempts then
      give_up(found.number, attempts)
    else
      wait_again(found.number)
    end
  end
end

-- Count its requests without a lease as gone from their sites.
local function drop_unleased(name)
  local counts = redis.call('HGETALL', unleased_key(name))
  for i = 1, #counts, 2 do
    local limiter = limiter_of(counts[i])
    limiter.in_flight = limiter.in_flight - tonumber(counts[i + 1])
    touch(limiter)
    while is_on_way(limiter, '-' .. name) do
      sent(limiter, '-' .. name, now)
    end
  end
end

local function drop(name, is_dead)
  drop_leases(name, is_dead)
  drop_unleased(name)
  move_items(items_key(name), keys.orphans)
  doubt_batches_of(name)
  redis.call('DEL', leases_key(name), unleased_key(name))
  redis.call('ZREM', keys.nodes, name)
  redis.call('HSET', node_key(name), 'incarnation', '', 'left_s', text(now),
    'reply', '', 'is_dead', is_dead and '1' or '0')
  if job.leader == name then
    job.leader = ''
  end
end

-- Drop those whose leases have expired.
local function reap()
  local silence = now - job.last_s
  if job.last_s > 0 and silence > lease_s / 2 then
    -- No node was heard: Redis itself was away, and none of them is to blame.
    for _, name in ipairs(redis.call('ZRANGE', keys.nodes, 0, -1)) do
      redis.call('ZINCRBY', keys.nodes, text(silence), name)
    end
  end
  job.last_s = now
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', keys.nodes, '-inf', text(now))) do
    if name ~= node then
      drop(name, true)
    end
  end
end

local is_leaving = false

function operations.quit()
  is_leaving = true
  drop(node, false)
end
