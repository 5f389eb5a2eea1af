-- The job: its counts, which are read and written once, and its end.

local FIELDS = {
  'waiting', 'lent', 'kept', 'requests', 'leases', 'items', 'done', 'turns', 'last_s',
  'stranded',
}
local job = {}

local function read_job()
  local values = redis.call('HMGET', key('job'), unpack(FIELDS))
  for i, name in ipairs(FIELDS) do
    job[name] = tonumber(values[i]) or 0
  end
  local words = redis.call('HMGET', key('job'), 'id', 'state', 'reason', 'leader')
  job.id, job.state, job.reason, job.leader =
    words[1] or '', words[2] or '', words[3] or '', words[4] or ''
end

local function write_job()
  local values = {}
  for _, name in ipairs(FIELDS) do
    values[#values + 1] = name
    values[#values + 1] = text(job[name])
  end
  redis.call('HSET', key('job'), 'id', job.id, 'state', job.state,
    'reason', job.reason, 'leader', job.leader, unpack(values))
end

function OPS.finish()
  local reason = arg()
  if job.state == 'ended' then
    return '1'
  end
  if reason == 'finished' and job.waiting + job.lent > 0 then
    return '0'
  end
  job.state, job.reason = 'ended', reason
  redis.call('HSET', key('job'), 'ended_s', text(now))
  return '1'
end
