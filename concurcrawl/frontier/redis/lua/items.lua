-- Items that are in no feed yet: who keeps them, and who writes them just now.

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

function OPS.keep()
  local owner, is_new = arg(), take_output()
  take_notes()
  if is_new then
    return keep_items(owner)
  end
  skip(num())
  return 'taken'
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

-- Give the node items of dead ones.
local function adopt()
  local adopted = {}
  local found = redis.call('HGETALL', key('orphans'))
  for i = 1, math.min(#found, 2 * adopts), 2 do
    redis.call('HSET', key('items:' .. node), found[i], found[i + 1])
    redis.call('HDEL', key('orphans'), found[i])
    adopted[#adopted + 1] = { found[i], found[i + 1] }
  end
  return adopted
end
