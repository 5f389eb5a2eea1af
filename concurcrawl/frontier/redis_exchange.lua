-- One exchange of a node with the frontier: it applies what the node did, takes back
-- what dead nodes held, and lends the node what it has room for. Redis runs it whole or
-- not at all, one at a time.
--
-- KEYS[1]  the job's key "<tag>:job"; all other keys begin as it does
-- ARGV     a header, then operations; redis_wire.py writes them and reads the reply
--
-- The rules of gates are those of limits.py, and a test compares the two.

local base = string.sub(KEYS[1], 1, -4)
local at = 0

local function arg()
  at = at + 1
  return ARGV[at]
end

local function num()
  return tonumber(arg())
end

local function text(number)
  return string.format('%.17g', number)
end

local function key(name)
  return base .. name
end

local node = arg()
local incarnation = arg()
local seq = num()
local now = num()
local lease_s = num()
local want = num()
local spare = num()
local max_attempts = num()
local seed = num()
local cookies_from = num()
local troubled_from = num()
local adopts = num()
local newest_first = num() == 1

local time = redis.call('TIME')
local epoch_s = tonumber(time[1]) + tonumber(time[2]) / 1e6
now = now or epoch_s

local node_key = key('node:' .. node)
local known = redis.call('HMGET', node_key, 'incarnation', 'seq', 'reply')
if known[1] == incarnation and tonumber(known[2]) == seq then
  return cmsgpack.unpack(known[3]) -- the answer was lost on its way, not the question
end

-- The job's counts, read and written once ---------------------------------------------

local FIELDS = {
  'waiting', 'lent', 'kept', 'requests', 'leases', 'items', 'done', 'turns', 'last_s',
  'stranded',
}
local job = {}

local function read_job()
  local values = redis.call('HMGET', key('job'), unpack(FIELDS))
  for i, name in ipairs(FIELDS) do
    job[name] = tonumber(values[i]) or 0
  end
  local words = redis.call('HMGET', key('job'), 'id', 'state', 'reason', 'leader')
  job.id, job.state, job.reason, job.leader =
    words[1] or '', words[2] or '', words[3] or '', words[4] or ''
end

local function write_job()
  local values = {}
  for _, name in ipairs(FIELDS) do
    values[#values + 1] = name
    values[#values + 1] = text(job[name])
  end
  redis.call('HSET', key('job'), 'id', job.id, 'state', job.state,
    'reason', job.reason, 'leader', job.leader, unpack(values))
end

-- Gates: the rules of limits.py -------------------------------------------------------

local NUMBERS = {
  'in_flight', 'coming', 'opens_at', 'delay', 'paused_until', 'full_at', 'refusals',
  'limit', 'least_delay', 'jitter', 'rate', 'burst', 'min_pause', 'max_pause',
  'target', 'start_delay', 'max_delay', 'asked_delay',
}
local GATE_FIELDS = { unpack(NUMBERS) }
GATE_FIELDS[#GATE_FIELDS + 1] = 'on_way'
local LONGEST_WAY_S = 10
local gates = {}

local function gate_of(group)
  local gate = gates[group]
  if gate then
    return gate
  end
  gate = { dirty = false, old = {} }
  local values = redis.call('HMGET', key('gate:' .. group), unpack(GATE_FIELDS))
  for i, name in ipairs(NUMBERS) do
    gate[name] = tonumber(values[i]) or 0
    gate.old[name] = gate[name]
  end
  -- Requests that were admitted and not sent yet: {who, since when, delay}
  gate.old_on_way = values[#GATE_FIELDS] or ''
  gate.on_way = gate.old_on_way == '' and {} or cmsgpack.unpack(gate.old_on_way)
  if not values[12] then -- nobody has said its limits
    gate.burst, gate.min_pause, gate.max_pause = 1, 1, 600
  end
  gates[group] = gate
  return gate
end

local function write_gates()
  for group, gate in pairs(gates) do
    if gate.dirty then
      local values = {}
      for _, name in ipairs(NUMBERS) do
        if gate[name] ~= gate.old[name] then
          values[#values + 1] = name
          values[#values + 1] = text(gate[name])
        end
      end
      local on_way = #gate.on_way > 0 and cmsgpack.pack(gate.on_way) or ''
      if on_way ~= gate.old_on_way then
        values[#values + 1] = 'on_way'
        values[#values + 1] = on_way
      end
      if #values > 0 then
        redis.call('HSET', key('gate:' .. group), unpack(values))
      end
    end
  end
end

-- Not math.random, so that a test can foretell it: x -> 16807 x mod 2^31 - 1.
local function uniform(low, high)
  seed = seed * 16807 % 2147483647
  return low + (high - low) * (seed / 2147483647)
end

local function trouble(group)
  if redis.call('HSETNX', key('gate:' .. group), 'troubled', 1) == 1 then
    redis.call('RPUSH', key('troubled'), group)
  end
end

local function has_room(gate)
  return gate.limit == 0 or gate.in_flight < gate.limit
end

local function pause_left(gate)
  return math.max(0, gate.paused_until - now)
end

local function least_delay(gate)
  return math.max(gate.least_delay, gate.asked_delay)
end

local function has_promise(gate)
  return least_delay(gate) > 0 or gate.rate > 0
end

-- Returns the earliest time for a start, and whether somebody's being sent may help.
local function next_start(gate)
  local earliest = math.max(gate.opens_at, gate.paused_until)
  local on_way = #gate.on_way
  if gate.rate > 0 then
    local spare = gate.burst - 1 - on_way
    earliest = math.max(earliest, gate.full_at - spare / gate.rate)
  end
  local most = least_delay(gate) > 0 and 1 or gate.burst
  if on_way > 0 and on_way >= most then
    earliest = math.max(earliest, gate.on_way[1][2] + LONGEST_WAY_S)
  end
  return earliest, on_way > 0
end

local function depart(gate, when, delay)
  if gate.rate > 0 then
    gate.full_at = math.max(when, gate.full_at) + 1 / gate.rate
  end
  gate.opens_at = math.max(gate.opens_at, when + math.max(delay, gate.asked_delay))
  gate.dirty = true
end

local function is_on_way(gate, who)
  for _, way in ipairs(gate.on_way) do
    if way[1] == who then
      return true
    end
  end
  return false
end

local function sent(gate, who, when)
  for i, way in ipairs(gate.on_way) do
    if way[1] == who then
      table.remove(gate.on_way, i)
      depart(gate, when, way[3])
      return
    end
  end
  if has_promise(gate) then
    depart(gate, when, gate.delay)
  end
end

local function expire(gate)
  while gate.on_way[1] and now >= gate.on_way[1][2] + LONGEST_WAY_S do
    depart(gate, now, table.remove(gate.on_way, 1)[3])
  end
end

local function start(gate, who)
  gate.dirty = true
  gate.in_flight = gate.in_flight + 1
  local delay = 0
  if gate.delay > 0 then
    delay = math.max(0, gate.delay * (1 + uniform(-gate.jitter, gate.jitter)))
  end
  if has_promise(gate) then
    table.insert(gate.on_way, { who, now, delay })
  else -- AutoThrottle's delay alone is an aim, and no promise
    gate.opens_at = now + delay
  end
end

local function adapt(gate, latency, status)
  local target = latency / gate.target
  local delay = math.max(target, (gate.delay + target) / 2)
  delay = math.max(math.min(delay, gate.max_delay), least_delay(gate))
  if status == 200 or delay > gate.delay then
    gate.delay = delay
  end
end

local function hear(group, status, latency, retry_after)
  local gate = gate_of(group)
  gate.dirty = true
  if status == 429 or status == 503 then
    trouble(group)
    if retry_after or gate.paused_until <= now then
      local pause = gate.min_pause * 2 ^ gate.refusals * uniform(1, 1.5)
      pause = retry_after or math.min(pause, gate.max_pause)
      gate.refusals = math.min(gate.refusals + 1, 30)
      gate.paused_until = math.max(gate.paused_until, now + pause)
    end
  elseif status then
    gate.refusals = 0
  end
  if gate.target > 0 and latency then
    adapt(gate, latency, status)
  end
end

-- When a request of the group may be lent: a time, or nil if something must end first.
local function lend_at(gate)
  if gate.limit > 0 and gate.in_flight + gate.coming >= gate.limit then
    return nil
  end
  if (gate.delay > 0 or gate.rate > 0) and gate.coming > 0 then
    return nil
  end
  local pause = pause_left(gate)
  if pause > 0 and pause <= gate.max_pause then
    return now + pause
  end
  return now
end

-- Requests ----------------------------------------------------------------------------

local TEN15 = 1e15
local heads -- group -> {priority, turn} of what leaves next, or false if nothing waits

local function head_of(group)
  if heads and heads[group] ~= nil then
    return heads[group]
  end
  heads = heads or {}
  local found = redis.call('HGET', key('heads'), group)
  if found then
    local priority, turn = string.match(found, '^(%S+) (%S+)$')
    heads[group] = { tonumber(priority), tonumber(turn) }
  else
    heads[group] = false
  end
  return heads[group]
end

local function set_head(group, priority, turn)
  heads = heads or {}
  heads[group] = { priority, turn }
  redis.call('HSET', key('heads'), group, text(priority) .. ' ' .. text(turn))
end

local function wait(number, member, priority, group)
  redis.call('ZADD', key('wait:' .. group), -priority, member)
  job.waiting = job.waiting + 1
  local head = head_of(group)
  if not head then
    job.turns = job.turns + 1
    set_head(group, priority, job.turns)
  elseif priority > head[1] then
    set_head(group, priority, head[2])
  end
end

local function wait_again(number)
  local packed = redis.call('HGET', key('requests'), number)
  if packed then
    local _, priority, member, group = cmsgpack.unpack(packed)
    wait(number, member, priority, group)
  end
end

local function number_of(member)
  local digits = tonumber(string.sub(member, 2))
  if string.sub(member, 1, 1) == '0' then
    return TEN15 - digits
  end
  return digits
end

local function insert(fingerprint, group, priority, is_start, payload)
  if fingerprint ~= '' and redis.call('SADD', key('seen'), fingerprint) == 0 then
    return '0'
  end
  job.requests = job.requests + 1
  local number = job.requests
  local member
  if is_start then
    member = '2' .. string.format('%015.0f', number)
  elseif newest_first then
    member = '0' .. string.format('%015.0f', TEN15 - number)
  else
    member = '1' .. string.format('%015.0f', number)
  end
  redis.call('HSET', key('requests'), text(number),
    cmsgpack.pack(epoch_s, priority, member, group, payload))
  wait(number, member, priority, group)
  return '1'
end

local function insert_all()
  local added = {}
  for i = 1, num() do
    local fingerprint, group, priority, is_start = arg(), arg(), num(), arg() == '1'
    added[i] = insert(fingerprint, group, priority, is_start, arg())
  end
  return table.concat(added)
end

local function take_notes()
  for _ = 1, num() do
    local name = arg()
    redis.call('HSET', key('notes'), name, arg())
  end
end

local function keep_items(owner)
  local first = job.items + 1
  for _ = 1, num() do
    job.items = job.items + 1
    if owner == '' then
      redis.call('XADD', key('stream'), '*', 'item', arg())
    else
      redis.call('HSET', key('items:' .. owner), text(job.items), arg())
      job.kept = job.kept + 1
    end
  end
  return text(first)
end

local function skip(count)
  at = at + count
end

-- Leases. The value is "<c, t or -><begun?>:<number>:<group>": coming to its site,
-- there, or neither.

local function lease_of(lease)
  local value = redis.call('HGET', key('lent:' .. node), lease)
  if not value then
    return nil
  end
  local state, begun, number, group = string.match(value, '^(.)(.):(%S-):(.*)$')
  return { state = state, begun = begun, number = number, group = group }
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

local function record_failure(attempts, group, payload)
  redis.call('RPUSH', key('failures'), cjson.encode({
    at_s = epoch_s, attempts = attempts, group = group, request = payload,
  }))
end

local function set_aside(number, attempts)
  local packed = redis.call('HGET', key('requests'), number)
  local queued, _, _, group, payload = cmsgpack.unpack(packed)
  redis.call('HDEL', key('requests'), number)
  redis.call('HDEL', key('attempts'), number)
  record_failure(attempts, group, payload)
  redis.call('HINCRBY', key('stats'), 'inc:concurcrawl/poisoned', 1)
end

local function move_items(from, to)
  local all = redis.call('HGETALL', from)
  for i = 1, #all, 2 do
    redis.call('HSET', to, all[i], all[i + 1])
  end
  redis.call('DEL', from)
end

-- What a node that has gone was writing: only its next life can tell whether it is in
-- the files, and nobody waits for that.
local function strand(name)
  local unsettled = redis.call('HGETALL', key('unsettled'))
  for i = 1, #unsettled, 2 do
    if cjson.decode(unsettled[i + 1]).node == name
        and redis.call('SADD', key('stranded'), unsettled[i]) == 1 then
      local count = redis.call('HLEN', key('batch:' .. unsettled[i]))
      job.kept = job.kept - count
      job.stranded = job.stranded + count
    end
  end
end

-- Take a node from the job: what it held is everybody's again.
local function drop(name, counts)
  local lent = redis.call('HGETALL', key('lent:' .. name))
  for i = 2, #lent, 2 do
    local state, begun, number, group =
      string.match(lent[i], '^(.)(.):(%S-):(.*)$')
    forget(state, group, lent[i - 1])
    job.lent = job.lent - 1
    local attempts = 0
    if counts and begun == '1' then
      attempts = redis.call('HINCRBY', key('attempts'), number, 1)
    end
    if attempts >= max_attempts then
      set_aside(number, attempts)
    else
      wait_again(number)
    end
  end
  local guests = redis.call('HGETALL', key('guests:' .. name))
  for i = 1, #guests, 2 do
    local gate = gate_of(guests[i])
    gate.in_flight = gate.in_flight - tonumber(guests[i + 1])
    gate.dirty = true
    while is_on_way(gate, '-' .. name) do
      sent(gate, '-' .. name, now)
    end
  end
  move_items(key('items:' .. name), key('orphans'))
  strand(name)
  redis.call('DEL', key('lent:' .. name), key('guests:' .. name))
  redis.call('ZREM', key('nodes'), name)
  redis.call('HSET', key('node:' .. name), 'incarnation', '', 'left_s', text(now),
    'reply', '', 'is_dead', counts and '1' or '0')
  if job.leader == name then
    job.leader = ''
  end
end

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

-- Joining -----------------------------------------------------------------------------

local function wipe()
  for _, group in ipairs(redis.call('SMEMBERS', key('groups'))) do
    redis.call('DEL', key('wait:' .. group), key('gate:' .. group))
  end
  for _, name in ipairs(redis.call('SMEMBERS', key('everyone'))) do
    redis.call('DEL', key('node:' .. name), key('lent:' .. name),
      key('guests:' .. name), key('items:' .. name))
  end
  for _, id in ipairs(redis.call('HKEYS', key('unsettled'))) do
    redis.call('DEL', key('batch:' .. id))
  end
  redis.call('UNLINK', key('job'), key('seen'), key('requests'), key('heads'),
    key('attempts'), key('nodes'), key('groups'), key('everyone'), key('orphans'),
    key('unsettled'), key('notes'), key('stats'), key('cookies'), key('troubled'),
    key('failures'), key('stream'), key('stranded'))
end

-- Returns how that went: 'joined', or why not.
local function join()
  local how, started, id = arg(), now - num(), arg()
  local spider, about = arg(), arg()
  read_job()
  local began = tonumber(redis.call('HGET', key('job'), 'began_s') or 0)
  local ended = tonumber(redis.call('HGET', key('job'), 'ended_s') or 0)
  local owner = redis.call('HGET', key('job'), 'spider')
  local is_new = job.state == ''
  if job.state == 'ended' and ended > started then
    return 'late' -- it was started while the crawl still ran
  end
  if how == 'new' and job.state ~= '' and began < started then
    is_new = true
  elseif job.state == 'ended' then
    local left = job.waiting + job.lent + job.kept + job.stranded
    if how == 'resume' or left > 0 then
      job.state, job.reason = 'live', ''
    else
      is_new = true
    end
  end
  if not is_new and owner and owner ~= spider then
    return 'spider ' .. owner
  end
  if not is_new then
    reap()
    local deadline = redis.call('ZSCORE', key('nodes'), node)
    if deadline and tonumber(deadline) > now and known[1] ~= incarnation then
      return 'taken ' .. text(tonumber(deadline) - now)
    end
    if deadline then
      drop(node, true)
    end
  else
    wipe()
    for _, name in ipairs(FIELDS) do
      job[name] = 0
    end
    job.id, job.state, job.reason, job.leader = id, 'live', '', ''
    job.last_s = now
    redis.call('HSET', key('job'), 'began_s', text(now), 'spider', spider)
  end
  redis.call('SADD', key('everyone'), node)
  redis.call('HSET', node_key, 'incarnation', incarnation, 'about', about,
    'joined_s', text(now), 'left_s', '', 'is_dead', '0')
  redis.call('HSETNX', node_key, 'done', 0)
  return 'joined'
end

if seq == 0 then
  local went = join()
  if went ~= 'joined' then
    return { went, job.reason or '' }
  end
else
  read_job()
  if known[1] ~= incarnation or tonumber(known[2]) ~= seq - 1 then
    -- It was taken for dead, or Redis has forgotten what it knew of it.
    if known[1] == incarnation then
      reap()
      drop(node, false)
      write_gates()
      write_job()
    end
    return { job.state == '' and 'gone' or 'lost', job.id }
  end
  reap()
end
redis.call('ZADD', key('nodes'), text(now + lease_s), node)

-- Operations --------------------------------------------------------------------------

local OPS = {}
local done_here = 0
local has_attempts = redis.call('EXISTS', key('attempts')) == 1

function OPS.push()
  take_notes()
  return insert_all()
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
  if has_attempts then
    redis.call('HDEL', key('attempts'), found.number)
  end
  job.done = job.done + 1
  done_here = done_here + 1
  local added = insert_all()
  return { added, keep_items(owner) }
end

function OPS.keep()
  local owner = arg()
  take_notes()
  return keep_items(owner)
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

function OPS.deliver()
  for _ = 1, num() do
    job.kept = job.kept - redis.call('HDEL', key('items:' .. node), arg())
  end
  take_notes()
  return ''
end

-- The items are to be in the files from now on; until the node says that they are,
-- nobody else may have them.
function OPS.offer()
  local id, about = arg(), arg()
  for _ = 1, num() do
    local number = arg()
    local payload = redis.call('HGET', key('items:' .. node), number)
    if payload then
      redis.call('HSET', key('batch:' .. id), number, payload)
      redis.call('HDEL', key('items:' .. node), number)
    end
  end
  redis.call('HSET', key('unsettled'), id, about)
  return '1'
end

function OPS.settle()
  local id, was_written = arg(), arg() == '1'
  local batch = key('batch:' .. id)
  if redis.call('HDEL', key('unsettled'), id) == 1 then
    local count = redis.call('HLEN', batch)
    if redis.call('SREM', key('stranded'), id) == 1 then
      job.stranded = job.stranded - count
      job.kept = job.kept + count
    end
    if was_written then
      job.kept = job.kept - count
      redis.call('DEL', batch)
    else
      move_items(batch, key('orphans'))
    end
  end
  take_notes()
  return ''
end

function OPS.stat()
  local how, name, value = arg(), arg(), arg()
  local stats, field = key('stats'), how .. ':' .. name
  if how == 'inc' then
    redis.call('HINCRBYFLOAT', stats, field, value)
  elseif how == 'set' then
    redis.call('HSET', stats, field, value)
  else
    local old = tonumber(redis.call('HGET', stats, field) or nil)
    local new = tonumber(value)
    if not old or (how == 'max' and new > old) or (how == 'min' and new < old) then
      redis.call('HSET', stats, field, value)
    end
  end
  return ''
end

function OPS.counts()
  local names = {}
  for i = 1, num() do
    names[i] = 'inc:' .. arg()
  end
  local found = redis.call('HMGET', key('stats'), unpack(names))
  for i = 1, #names do
    found[i] = found[i] or '0'
  end
  return found
end

function OPS.cookies()
  redis.call('RPUSH', key('cookies'), node .. '\n' .. arg())
  return ''
end

function OPS.fail()
  local attempts, group = num(), arg()
  record_failure(attempts, group, arg())
  return ''
end

function OPS.finish()
  local reason = arg()
  if job.state == 'ended' then
    return '1'
  end
  if reason == 'finished' and job.waiting + job.lent > 0 then
    return '0'
  end
  job.state, job.reason = 'ended', reason
  redis.call('HSET', key('job'), 'ended_s', text(now))
  return '1'
end

local leaves = false

function OPS.quit()
  leaves = true
  drop(node, false)
  return ''
end

local answers = {}
while at < #ARGV do
  local op = arg()
  answers[#answers + 1] = OPS[op]()
end

-- Lending -----------------------------------------------------------------------------

local function read_heads()
  local all = redis.call('HGETALL', key('heads'))
  heads = heads or {}
  for i = 1, #all, 2 do
    if heads[all[i]] == nil then
      local priority, turn = string.match(all[i + 1], '^(%S+) (%S+)$')
      heads[all[i]] = { tonumber(priority), tonumber(turn) }
    end
  end
end

local function lend(group)
  local gate = gate_of(group)
  local waits = key('wait:' .. group)
  local member = redis.call('ZPOPMIN', waits)[1]
  local following = redis.call('ZRANGE', waits, 0, 0, 'WITHSCORES')
  if following[1] then
    job.turns = job.turns + 1
    set_head(group, -tonumber(following[2]), job.turns)
  else
    heads[group] = false
    redis.call('HDEL', key('heads'), group)
  end
  local number = text(number_of(member))
  local queued, _, _, _, payload =
    cmsgpack.unpack(redis.call('HGET', key('requests'), number))
  job.leases = job.leases + 1
  job.waiting = job.waiting - 1
  job.lent = job.lent + 1
  gate.coming = gate.coming + 1
  gate.dirty = true
  local lease = text(job.leases)
  redis.call('HSET', key('lent:' .. node), lease, 'c0:' .. number .. ':' .. group)
  return { lease, group, payload, text(queued) }
end

-- Groups that may be lent to, as a heap: the one that is served next is the first.

local open = {}

-- Is the group at one place of the heap to be served before the one at another?
local function precedes(i, j)
  local one, other = heads[open[i]], heads[open[j]]
  if one[1] ~= other[1] then
    return one[1] > other[1]
  end
  local gate, other_gate = gates[open[i]], gates[open[j]]
  local load = gate.in_flight + gate.coming
  local other_load = other_gate.in_flight + other_gate.coming
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

local leases = {}
local ready = ''
if job.state == 'live' and not leaves and (want > 0 or want == -1) then
  if spare > 0 and job.waiting <= want * redis.call('ZCARD', key('nodes')) then
    want = want - spare -- others have use for them now
  end
  read_heads()
  local soonest = nil
  for group, head in pairs(heads) do
    local when = head and lend_at(gate_of(group))
    if when and when <= now then
      open[#open + 1] = group
    end
  end
  for i = math.floor(#open / 2), 1, -1 do
    sink(i)
  end
  while #leases < want and #open > 0 do
    local group = open[1]
    leases[#leases + 1] = lend(group)
    local when = heads[group] and lend_at(gates[group])
    if not when or when > now then
      open[1] = open[#open]
      open[#open] = nil
    end
    sink(1)
  end
  for group, head in pairs(heads) do
    if head then
      local when = lend_at(gate_of(group))
      if when and (not soonest or when < soonest) then
        soonest = when
      end
    end
  end
  if soonest then
    ready = text(math.max(0, soonest - now))
  end
end

local adopted = {}
if adopts > 0 and not leaves then
  local found = redis.call('HGETALL', key('orphans'))
  for i = 1, math.min(#found, 2 * adopts), 2 do
    redis.call('HSET', key('items:' .. node), found[i], found[i + 1])
    redis.call('HDEL', key('orphans'), found[i])
    adopted[#adopted + 1] = { found[i], found[i + 1] }
  end
end

if job.leader == '' and not leaves then
  job.leader = node
end
if done_here > 0 then
  redis.call('HINCRBY', node_key, 'done', done_here)
end
write_gates()
write_job()
local cookies = redis.call('LRANGE', key('cookies'), cookies_from, -1)
local troubled = redis.call('LRANGE', key('troubled'), troubled_from, -1)
local reply = {
  'ok', job.id, job.state, job.reason, job.leader, text(job.waiting), text(job.lent),
  text(job.kept), text(job.stranded), text(redis.call('ZCARD', key('nodes'))), ready, leases, adopted,
  cookies, troubled, answers,
}
redis.call('HSET', node_key, 'seq', text(seq), 'reply', cmsgpack.pack(reply),
  'heard_s', text(epoch_s))
return reply
