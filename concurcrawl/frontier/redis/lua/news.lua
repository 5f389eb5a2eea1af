-- What nodes tell each other: stats, cookies, notes.

local function take_notes()
  for _ = 1, num() do
    local name = arg()
    redis.call('HSET', key('notes'), name, arg())
  end
end

-- Count an output of start() as taken. Returns false if it was before.
local function take_output()
  local what, nth = arg(), num()
  if what == '' then
    return true
  end
  local times = tonumber(redis.call('HGET', key('taken'), what) or 0)
  if times >= nth then
    return false
  end
  redis.call('HSET', key('taken'), what, nth)
  return true
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
