-- How a node joins a job, or begins it.

local function wipe()
  for _, group in ipairs(redis.call('HKEYS', keys.waiting_groups)) do
    redis.call('DEL', waiting_key(group))
  end
  for _, name in ipairs(redis.call('SMEMBERS', keys.members)) do
    redis.call('DEL', node_key(name), leases_key(name), unleased_key(name),
      items_key(name))
  end
  for _, id in ipairs(redis.call('HKEYS', keys.in_doubt)) do
    redis.call('DEL', batch_key(id))
  end
  for _, key in pairs(keys) do
    redis.call('UNLINK', key)
  end
end

local function begin(id, spider)
  wipe()
  for _, name in ipairs(COUNTS) do
    job[name] = 0
  end
  job.id, job.state, job.reason, job.leader = id, 'live', '', ''
  job.format, job.last_s = FORMAT, now
  -- 0.1.0 knows no format, but refuses the job of another spider, by this name.
  local guard = string.format('%s in format %d of a newer concurcrawl', spider, FORMAT)
  redis.call('HSET', keys.job, 'began_s', text(now), 'crawled_by', spider,
    'spider', guard, 'format', FORMAT)
end

-- Returns the reply that refuses the node, or nil if it has joined.
local function join(fields, is_same_life)
  local started = now - fields.age_s
  read_job()
  if job.state ~= '' and job.format ~= FORMAT then
    return { refused = 'format', format = job.format }
  end
  local known = redis.call('HMGET', keys.job, 'began_s', 'ended_s', 'crawled_by')
  local began, ended = tonumber(known[1] or 0), tonumber(known[2] or 0)
  local is_new, goes_on = job.state == '', false
  if job.state == 'ended' and ended > started then
    return { refused = 'late', reason = job.reason } -- the crawl still ran at its start
  end
  if fields.how == 'new' and job.state ~= '' and began < started then
    is_new = true
  elseif job.state == 'ended' then
    goes_on = fields.how == 'resume'
      or job.waiting + job.leased + job.kept + job.in_doubt > 0
    is_new = not goes_on
  end
  if is_new then
    begin(fields.job_id, fields.spider)
  else
    if known[3] ~= fields.spider then
      return { refused = 'spider', spider = known[3] }
    end
    reap()
    local deadline = tonumber(redis.call('ZSCORE', keys.nodes, node) or nil)
    if deadline and deadline > now and not is_same_life then
      write_all() -- others that were dead are dropped all the same
      return { refused = 'taken', free_in_s = deadline - now }
    end
    if deadline then
      drop(node, true)
    end
    if goes_on then
      job.state, job.reason = 'live', ''
    end
  end
  set_default_limits(fields.limits)
  redis.call('SADD', keys.members, node)
  redis.call('HSET', node_key(node), 'incarnation', message.incarnation,
    'about', fields.about, 'joined_s', text(now), 'left_s', '', 'is_dead', '0')
  redis.call('HSETNX', node_key(node), 'done', 0)
end
