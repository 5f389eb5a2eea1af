-- Requests that wait, in order, and those that were dead-lettered.

local TEN15 = 1e15
-- What is known of a group with waiting requests: priority of the one that leaves next,
-- the group's turn, and where it is filed: see file(). Without a priority nothing waits.
local waiting_groups = {}

local function parse_waiting(value)
  if not value then
    return { filed = '' }
  end
  local priority, turn, filed = string.match(value, '^(%S+) (%S+) (%S*)$')
  priority = tonumber(priority)
  return {
    priority = priority, scored = priority, turn = tonumber(turn), filed = filed,
    old = value,
  }
end

local function waiting_group(group)
  local waiting = waiting_groups[group]
  if not waiting then
    waiting = parse_waiting(redis.call('HGET', keys.waiting_groups, group))
    waiting_groups[group] = waiting
  end
  return waiting
end

local function next_turn()
  job.turns = job.turns + 1
  return job.turns
end

local function wait(member, priority, group)
  redis.call('ZADD', waiting_key(group), -priority, member)
  job.waiting = job.waiting + 1
  local waiting = waiting_group(group)
  if not waiting.priority then
    waiting.priority, waiting.turn = priority, next_turn()
    changed[group] = true
  elseif priority > waiting.priority then
    waiting.priority = priority
    changed[group] = true
  end
end

-- Where a group is: in keys.ready, by the priority of what leaves next, if its limits
-- let a request be leased; in keys.paused, by its time, if time alone will let it; in
-- neither if a request must end first. `filed` is 'p' for paused, '' for neither, and else
-- what stands before the group's name in keys.ready. Redis keeps members of one score in
-- alphabetical order: load, then turn, so that the fewest in flight come first and equals
-- take turns.
local function file(group, waiting)
  local limiter = limiter_of(group)
  local when = waiting.priority and lease_at(limiter)
  local place = ''
  if when and when > now then
    place = 'p'
  elseif when then
    place = string.format('%010.0f%015.0f:',
      math.max(0, limiter.in_flight + limiter.coming), waiting.turn)
  end
  local before = waiting.filed
  if before == 'p' and place ~= 'p' then
    redis.call('ZREM', keys.paused, group)
  elseif before ~= '' and before ~= 'p' and before ~= place then
    redis.call('ZREM', keys.ready, before .. group)
  end
  if place == 'p' then
    redis.call('ZADD', keys.paused, text(when), group)
  elseif place ~= '' and (place ~= before or waiting.priority ~= waiting.scored) then
    redis.call('ZADD', keys.ready, -waiting.priority, place .. group)
  end
  waiting.filed, waiting.scored = place, waiting.priority
end

local function write_waiting(group, waiting)
  local value = waiting.priority
    and text(waiting.priority) .. ' ' .. text(waiting.turn) .. ' ' .. waiting.filed
  if value and value ~= waiting.old then
    redis.call('HSET', keys.waiting_groups, group, value)
  elseif not value and waiting.old then
    redis.call('HDEL', keys.waiting_groups, group)
  end
  waiting.old = value
end

-- File all groups that have changed since this was called last.
local function file_changed()
  for group in pairs(changed) do
    local waiting = waiting_group(group)
    file(group, waiting)
    write_waiting(group, waiting)
  end
  changed = {}
end

local function write_all()
  file_changed()
  write_limiters()
  write_job()
end

local function wait_again(number)
  local packed = redis.call('HGET', keys.requests, number)
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
  elseif message.newest_first then
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

local function insert(entry)
  if entry.key and redis.call('SADD', keys.seen, entry.key) == 0 then
    return false
  end
  if entry.payload == '' then -- only to be remembered
    return true
  end
  job.requests = job.requests + 1
  local number = job.requests
  local member = member_of(number, entry.is_start)
  redis.call('HSET', keys.requests, text(number),
    cmsgpack.pack(epoch_s, entry.priority, member, entry.group, entry.payload))
  wait(member, entry.priority, entry.group)
  return true
end

-- Returns of each entry whether it was added.
local function insert_all(entries)
  local added = {}
  for i, entry in ipairs(entries) do
    added[i] = insert(entry)
  end
  return added
end

local function dead_letter(attempts, group, payload)
  redis.call('RPUSH', keys.dead_letters, cjson.encode({
    at_s = epoch_s, attempts = attempts, group = group, request = payload,
  }))
end

-- Give up a request that has cost too many nodes their lives.
local function give_up(number, attempts)
  local packed = redis.call('HGET', keys.requests, number)
  local _, _, _, group, payload = cmsgpack.unpack(packed)
  redis.call('HDEL', keys.requests, number)
  redis.call('HDEL', keys.attempts, number)
  dead_letter(attempts, group, payload)
  redis.call('HINCRBY', keys.stats, 'inc:concurcrawl/dead_lettered', 1)
end

function operations.push(fields)
  local is_new = take_output(fields.output)
  take_notes(fields.notes)
  if is_new then
    return { added = insert_all(fields.entries) }
  end
  local added = {}
  for i = 1, #fields.entries do
    added[i] = false
  end
  return { added = added }
end

function operations.dead_letter(fields)
  dead_letter(fields.attempts, fields.group, fields.payload)
end

-- Make dead-lettered requests wait again. What is no request stays.
function operations.retry()
  local letters = redis.call('LRANGE', keys.dead_letters, 0, -1)
  redis.call('DEL', keys.dead_letters)
  local count = 0
  for _, line in ipairs(letters) do
    local letter = cjson.decode(line)
    local is_json, request = pcall(cjson.decode, letter.request)
    if is_json and type(request) == 'table' and request.url then
      insert({ group = letter.group, priority = request.priority or 0,
        is_start = false, payload = letter.request })
      count = count + 1
    else
      redis.call('RPUSH', keys.dead_letters, line)
    end
  end
  return { count = count }
end
