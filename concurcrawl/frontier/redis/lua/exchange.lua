-- One exchange of a node with the frontier: it applies what the node did, takes back
-- what dead nodes held, and leases to the node what it has free capacity for. Redis runs
-- it whole or not at all, one at a time.
--
-- What stands before this only says how; here it is done.

local known = redis.call('HMGET', node_key(node), 'incarnation', 'seq', 'reply')
local is_same_life, last_seq = known[1] == message.incarnation, tonumber(known[2])
if is_same_life and last_seq == message.seq then
  return known[3] -- the answer was lost on its way, not the question
end

if message.join then
  local refused = join(message.join, is_same_life)
  if refused then
    return cmsgpack.pack(refused)
  end
else
  read_job()
  if job.state == '' or job.format ~= FORMAT then
    return cmsgpack.pack({ refused = 'gone' })
  end
  if not is_same_life or last_seq ~= message.seq - 1 then
    -- It was taken for dead, or Redis has forgotten what it knew of it.
    if is_same_life then
      reap()
      drop(node, false)
      write_all()
    end
    return cmsgpack.pack({ refused = 'lost', job_id = job.id })
  end
  reap()
end
forget_idle()
redis.call('ZADD', keys.nodes, text(now + lease_s), node)

local answers = {}
for i, fields in ipairs(message.operations) do
  answers[i] = operations[fields.operation](fields) or false
end

local leases, ready_in_s, adopted = {}, nil, {}
if not is_leaving then
  if job.state == 'live' and (message.want > 0 or message.want == -1) then
    leases, ready_in_s = dispatch_all()
  end
  if message.adopts > 0 then
    adopted = adopt()
  end
  if job.leader == '' then
    job.leader = node
  end
end

if done_here > 0 then
  redis.call('HINCRBY', node_key(node), 'done', done_here)
end
write_all()
local reply = cmsgpack.pack({
  job_id = job.id,
  state = job.state,
  reason = job.reason,
  leader = job.leader,
  waiting = job.waiting,
  leased = job.leased,
  kept = job.kept,
  in_doubt = job.in_doubt,
  nodes = redis.call('ZCARD', keys.nodes),
  ready_in_s = ready_in_s,
  leases = leases,
  adopted = adopted,
  cookies = redis.call('LRANGE', keys.cookies, message.cookies_from, -1),
  throttled = redis.call('LRANGE', keys.throttled, message.throttled_from, -1),
  answers = answers,
})
redis.call('HSET', node_key(node), 'seq', text(message.seq), 'reply', reply,
  'heard_s', text(epoch_s))
return reply
