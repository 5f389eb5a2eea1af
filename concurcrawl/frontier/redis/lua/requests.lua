-- Requests that wait, in order, and those that were set aside.

local TEN15 = 1e15
-- Of each group {priority, turn} of what leaves next, or false if nothing waits.
local heads = {}

local function parse_head(value)
  local priority, turn = string.match(value, '^(%S+) (%S+)$')
  return { tonumber(priority), tonumber(turn) }
end

local function head_of(group)
  if heads[group] == nil then
    local found = redis.call('HGET', key('heads'), group)
    heads[group] = found and parse_head(found)
  end
  return heads[group]
end

local function set_head(group, priority, turn)
  heads[group] = { priority, turn }
  redis.call('HSET', key('heads'), group, text(priority) .. ' ' .. text(turn))
end

local function wait(member, priority, group)
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
    wait(member, priority, group)
  end
end

-- A request's member in the sorted set of its group, which orders those of a priority:
-- the newest or the oldest first, and start requests last.
local function member_of(number, is_start)
  if is_start then
    return '2' .. string.format('%015.0f', number)
  elseif newest_first then
    return '0' .. string.format('%015.0f', TEN15 - number)
  end
  return '1' .. string.format('%015.0f', number)
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
  if payload == '' then -- only to be remembered
    return '1'
  end
  job.requests = job.requests + 1
  local number = job.requests
  local member = member_of(number, is_start)
  redis.call('HSET', key('requests'), text(number),
    cmsgpack.pack(epoch_s, priority, member, group, payload))
  wait(member, priority, group)
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

function OPS.push()
  local is_new = take_output()
  take_notes()
  if is_new then
    return insert_all()
  end
  local count = num()
  skip(5 * count)
  return string.rep('0', count)
end

function OPS.fail()
  local attempts, group = num(), arg()
  record_failure(attempts, group, arg())
  return ''
end
