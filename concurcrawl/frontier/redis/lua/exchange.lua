-- One exchange of a node with the frontier: it applies what the node did, takes back
-- what dead nodes held, and lends the node what it has room for. Redis runs it whole or
-- not at all, one at a time.
--
-- What stands before this only says how; here it is done.

local known = redis.call('HMGET', node_key, 'incarnation', 'seq', 'reply')
local is_same_life, last_seq = known[1] == incarnation, tonumber(known[2])
if is_same_life and last_seq == seq then
  return cmsgpack.unpack(known[3]) -- the answer was lost on its way, not the question
end

if seq == 0 then
  local went = join(is_same_life)
  if went ~= 'joined' then
    return { went, job.reason or '' }
  end
else
  read_job()
  if not is_same_life or last_seq ~= seq - 1 then
    -- It was taken for dead, or Redis has forgotten what it knew of it.
    if is_same_life then
      reap()
      drop(node, false)
      write_gates()
      write_job()
    end
    return { job.state == '' and 'gone' or 'lost', job.id }
  end
  reap()
end
redis.call('ZADD', key('nodes'), text(now + lease_s), node)

local answers = {}
while at < #ARGV do
  local op = arg()
  answers[#answers + 1] = OPS[op]()
end

local leases, ready, adopted = {}, '', {}
if not is_leaving then
  if job.state == 'live' and (want > 0 or want == -1) then
    leases, ready = lend_all()
  end
  if adopts > 0 then
    adopted = adopt()
  end
  if job.leader == '' then
    job.leader = node
  end
end

if done_here > 0 then
  redis.call('HINCRBY', node_key, 'done', done_here)
end
write_gates()
write_job()
local cookies = redis.call('LRANGE', key('cookies'), cookies_from, -1)
local troubled = redis.call('LRANGE', key('troubled'), troubled_from, -1)
local nodes = redis.call('ZCARD', key('nodes'))
local reply = {
  'ok', job.id, job.state, job.reason, job.leader, text(job.waiting), text(job.lent),
  text(job.kept), text(job.stranded), text(nodes), ready, leases, adopted, cookies,
  troubled, answers,
}
redis.call('HSET', node_key, 'seq', text(seq), 'reply', cmsgpack.pack(reply),
  'heard_s', text(epoch_s))
return reply
