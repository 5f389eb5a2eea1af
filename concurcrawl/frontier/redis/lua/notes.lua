-- What nodes tell each other: notes, outputs of start(), stats, cookies.

local function take_notes(notes)
  for name, value in pairs(notes) do
    redis.call('HSET', keys.notes, name, value)
  end
end

-- Count an output of start() as taken. Returns false if it was before.
local function take_output(output)
  if not output then
    return true
  end
  local times = tonumber(redis.call('HGET', keys.outputs, output.what) or 0)
  if times >= output.nth then
    return false
  end
  redis.call('HSET', keys.outputs, output.what, text(output.nth))
  return true
end

function operations.stat(fields)
  local field, value = fields.how .. ':' .. fields.stat, fields.value
  if fields.how == 'inc' then
    redis.call('HINCRBYFLOAT', keys.stats, field, value)
  elseif fields.how == 'set' then
    redis.call('HSET', keys.stats, field, value)
  else
    local old = tonumber(redis.call('HGET', keys.stats, field) or nil)
    local new = tonumber(value)
    if not old or (fields.how == 'max' and new > old)
        or (fields.how == 'min' and new < old) then
      redis.call('HSET', keys.stats, field, value)
    end
  end
end

function operations.counts(fields)
  local names = {}
  for i, name in ipairs(fields.stats) do
    names[i] = 'inc:' .. name
  end
  local found = redis.call('HMGET', keys.stats, unpack(names))
  local sums = {}
  for i = 1, #names do
    sums[i] = tonumber(found[i] or 0)
  end
  return { sums = sums }
end

function operations.cookies(fields)
  local change = cmsgpack.pack({ node = node, change = fields.change })
  redis.call('RPUSH', keys.cookies, change)
end
