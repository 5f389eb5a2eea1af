-- Requests that wait, in order, and those that were dead-lettered.

local TEN15 = 1e15
-- Of each group {priority, turn} of what leaves next, or false if nothing waits.
local heads = {}

local function parse_head(value)
  local priority, turn = string.match(value, '^(%S+) (%S+)$')
  return { tonumber(priority), tonumber(turn) }
end

local function head_of(group)
  if heads[group] == nil then
    local found = redis.call('HGET', keys.heads, group)
    heads[group] = found and parse_head(found)
  end
  return heads[group]
end

local function set_head(group, priority, turn)
  heads[group] = { priority, turn }
  redis.call('HSET', keys.heads, group, text(priority) .. ' ' .. text(turn))
end

local function wait(member, priority, group)
  redis.call('ZADD', waiting_key(group), -priority, member)
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
  redis.call('HINCRBY', keys.stats, 'inc:concurcrawl/poisoned', 1)
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
