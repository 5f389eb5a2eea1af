-- How a node joins a job, or begins it.

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
    key('failures'), key('stream'), key('stranded'), key('taken'))
end

local function begin(id, spider)
  wipe()
  for _, name in ipairs(FIELDS) do
    job[name] = 0
  end
  job.id, job.state, job.reason, job.leader = id, 'live', '', ''
  job.last_s = now
  redis.call('HSET', key('job'), 'began_s', text(now), 'spider', spider)
end

-- Returns how that went: 'joined', or why not.
local function join(is_same_life)
  local how, started, id = arg(), now - num(), arg()
  local spider, about = arg(), arg()
  read_job()
  local began = tonumber(redis.call('HGET', key('job'), 'began_s') or 0)
  local ended = tonumber(redis.call('HGET', key('job'), 'ended_s') or 0)
  local owner = redis.call('HGET', key('job'), 'spider')
  local is_new, goes_on = job.state == '', false
  if job.state == 'ended' and ended > started then
    return 'late' -- it was started while the crawl still ran
  end
  if how == 'new' and job.state ~= '' and began < started then
    is_new = true
  elseif job.state == 'ended' then
    local left = job.waiting + job.lent + job.kept + job.stranded
    if how == 'resume' or left > 0 then
      goes_on = true
    else
      is_new = true
    end
  end
  if not is_new and owner and owner ~= spider then
    return 'spider ' .. owner
  end
  if is_new then
    begin(id, spider)
  else
    reap()
    local deadline = redis.call('ZSCORE', key('nodes'), node)
    if deadline and tonumber(deadline) > now and not is_same_life then
      write_gates() -- others that were dead are dropped all the same
      write_job()
      return 'taken ' .. text(tonumber(deadline) - now)
    end
    if deadline then
      drop(node, true)
    end
    if goes_on then
      job.state, job.reason = 'live', ''
    end
  end
  redis.call('SADD', key('everyone'), node)
  redis.call('HSET', node_key, 'incarnation', incarnation, 'about', about,
    'joined_s', text(now), 'left_s', '', 'is_dead', '0')
  redis.call('HSETNX', node_key, 'done', 0)
  return 'joined'
end
