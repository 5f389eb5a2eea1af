-- Items that are in no feed yet: who keeps them, and who writes them just now.

-- Returns the number of the first; the others follow it.
local function keep_items(items)
  local first = job.items + 1
  for _, item in ipairs(items) do
    job.items = job.items + 1
    if message.streams then
      redis.call('XADD', keys.stream, '*', 'item', item)
    else
      redis.call('HSET', items_key(node), text(job.items), item)
      job.kept = job.kept + 1
    end
  end
  return first
end

local function move_items(from, to)
  local all = redis.call('HGETALL', from)
  for i = 1, #all, 2 do
    redis.call('HSET', to, all[i], all[i + 1])
  end
  redis.call('DEL', from)
end

-- What a node that has gone was writing: only its next life can tell whether it is in
-- the files, and no other node waits for that.
local function doubt_batches_of(name)
  local in_doubt = redis.call('HGETALL', keys.in_doubt)
  for i = 1, #in_doubt, 2 do
    if cjson.decode(in_doubt[i + 1]).node == name
        and redis.call('SADD', keys.in_doubt_of_dead, in_doubt[i]) == 1 then
      local count = redis.call('HLEN', batch_key(in_doubt[i]))
      job.kept = job.kept - count
      job.in_doubt = job.in_doubt + count
    end
  end
end

function operations.keep(fields)
  local is_new = take_output(fields.output)
  take_notes(fields.notes)
  if is_new then
    return { first_item = keep_items(fields.items) }
  end
  return { first_item = false }
end

function operations.deliver(fields)
  for _, number in ipairs(fields.items) do
    job.kept = job.kept - redis.call('HDEL', items_key(node), text(number))
  end
  take_notes(fields.notes)
end

-- The items are to be in the files from now on; until the node says that they are, no
-- other may have them.
function operations.prepare(fields)
  for _, item in ipairs(fields.items) do
    local number = text(item)
    local payload = redis.call('HGET', items_key(node), number)
    if payload then
      redis.call('HSET', batch_key(fields.batch), number, payload)
      redis.call('HDEL', items_key(node), number)
    end
  end
  redis.call('HSET', keys.in_doubt, fields.batch, fields.about)
end

function operations.commit(fields)
  local batch = batch_key(fields.batch)
  if redis.call('HDEL', keys.in_doubt, fields.batch) == 1 then
    local count = redis.call('HLEN', batch)
    if redis.call('SREM', keys.in_doubt_of_dead, fields.batch) == 1 then
      job.in_doubt = job.in_doubt - count
      job.kept = job.kept + count
    end
    if fields.was_written then
      job.kept = job.kept - count
      redis.call('DEL', batch)
    else
      move_items(batch, keys.orphans)
    end
  end
  take_notes(fields.notes)
end

-- Give the node items of dead ones.
local function adopt()
  local adopted = {}
  local found = redis.call('HGETALL', keys.orphans)
  for i = 1, math.min(#found, 2 * message.adopts), 2 do
    redis.call('HSET', items_key(node), found[i], found[i + 1])
    redis.call('HDEL', keys.orphans, found[i])
    adopted[#adopted + 1] = { number = tonumber(found[i]), payload = found[i + 1] }
  end
  return adopted
end
