-- The job: its counts, which are read and written once, and its end.

local COUNTS = {
  'waiting', 'leased', 'kept', 'requests', 'leases', 'items', 'done', 'turns', 'last_s',
  'in_doubt',
}
local job = {}

local function read_job()
  local values = redis.call('HMGET', keys.job, unpack(COUNTS))
  for i, name in ipairs(COUNTS) do
    job[name] = tonumber(values[i]) or 0
  end
  local words = redis.call('HMGET', keys.job, 'id', 'state', 'reason', 'leader', 'format')
  job.id, job.state, job.reason, job.leader =
    words[1] or '', words[2] or '', words[3] or '', words[4] or ''
  job.format = tonumber(words[5]) or 1 -- 0.1.0 stored none
end

local function write_job()
  local values = {}
  for _, name in ipairs(COUNTS) do
    values[#values + 1] = name
    values[#values + 1] = text(job[name])
  end
  redis.call('HSET', keys.job, 'id', job.id, 'state', job.state,
    'reason', job.reason, 'leader', job.leader, unpack(values))
end

function operations.finish(fields)
  if job.state == 'ended' then
    return { has_ended = true }
  end
  if fields.reason == 'finished' and job.waiting + job.leased > 0 then
    return { has_ended = false }
  end
  job.state, job.reason = 'ended', fields.reason
  redis.call('HSET', keys.job, 'ended_s', text(now))
  return { has_ended = true }
end
