-- Every key of a job: what it is, who writes it and who deletes it.
--
-- All begin with "{<prefix>:<job>}:", so that one slot of a cluster has them all.
-- keys.py has the same names for Python, which only reads, and a test compares the two.
-- Each is written in this script alone, so within one exchange of one node, except the
-- last four. No key but reports has a TTL: a job stays until another begins in its place
-- (join.lua) or "concurcrawl purge" deletes it; "deleted with the job" below means that.
--
-- key               type    what is in it
-- ----------------- ------- -------------------------------------------------------------
-- job               hash    id, state (live, ended), reason, leader, format, crawled_by
--                           (the spider), spider (read by 0.1.0 alone: see join.lua),
--                           began_s, ended_s; and the counts: waiting, leased, kept,
--                           in_doubt (items of dead nodes), done, requests, leases,
--                           items, turns (the last numbers given), last_s (time of the
--                           last exchange).
--                           Written by every exchange; deleted with the job.
-- seen              set     Fingerprints of all requests ever pushed.
--                           push and ack add; deleted with the job.
-- requests          hash    Number -> MessagePack of queued_s, priority, member (of
--                           waiting:), group, payload, one after the other.
--                           push and ack write; ack and a dead letter delete.
-- waiting:<group>   zset    What waits: number in its order (queue.lua), by -priority.
--                           push, ack, release and a node's death add; dispatch removes.
-- waiting_groups    hash    Group -> "<priority> <turn> <place>": priority of the request
--                           that leaves it next, and where it is filed (queue.lua). Each
--                           exchange writes those of the groups it has changed; a field
--                           goes with the last request that waits.
-- ready             zset    Groups that may be asked, in the order in which they are
--                           served: "<load><turn>:<group>", by -priority (queue.lua).
-- paused            zset    Groups with waiting requests whose pause must end first, by
--                           when it does. Both are written with waiting_groups.
-- default_limits    hash    Limits of groups that have none of their own (limiter.lua:
--                           LIMITS). join writes; deleted with the job.
-- idle              zset    Groups with a limiter that nothing is in flight of, by when
--                           they may be forgotten. Exchanges add those they have left,
--                           and remove those whose time has come.
-- limiters          hash    Group -> MessagePack of the state of its limiter, and of its
--                           limits if it has some of its own (limiter.lua: NUMBERS, and
--                           on_way, is_throttled, has_own_limits); what is 0 is left out.
--                           The operations of admission.lua write, and so does each
--                           that moves a lease; a field goes when its group is idle.
-- nodes             zset    Live nodes by the time at which their leases expire.
--                           Each exchange of a node adds it; quit and its death remove.
-- members           set     Nodes that ever joined. join adds; deleted with the job.
-- node:<node>       hash    incarnation, seq, reply (that of the last exchange, for one
--                           that asks again), about (JSON), joined_s, heard_s, left_s,
--                           is_dead, done. Its own exchanges and its death write;
--                           deleted with the job.
-- leases:<node>     hash    Lease id -> "<state><begun>:<number>:<group>" (leases.lua).
--                           dispatch adds; ack and release remove; quit and the node's
--                           death delete.
-- unleased:<node>   hash    Group -> requests of the node in flight without a lease.
--                           admit and leave count; quit and the node's death delete.
-- attempts          hash    Number of a request -> nodes that died while they did it.
--                           A node's death counts; ack and a dead letter remove.
-- items:<node>      hash    Number -> item that the node has and that is in no feed yet.
--                           ack and keep add, and adopting; deliver and prepare remove;
--                           quit and the node's death move all to orphans.
-- batch:<id>        hash    Number -> item that is being written to files now.
--                           prepare adds; commit deletes.
-- in_doubt          hash    Id of a batch -> who writes it, as JSON (node, and more that
--                           its next life needs). prepare adds; commit removes.
-- in_doubt_of_dead  set     Ids of the batches in doubt whose nodes are dead.
--                           quit and a node's death add; commit removes.
-- orphans           hash    Number -> item of a dead node, for any other to adopt.
--                           A node's death and commit add; adopting removes.
-- stream            stream  Items, in field "item", with CONCURCRAWL_FRONTIER_ITEMS=stream.
--                           ack and keep add; "concurcrawl items" deletes.
-- outputs           hash    Digest of an output of start() -> how many were taken.
--                           push and keep write; deleted with the job.
-- notes             hash    Name -> note. push, keep, deliver and commit write; deleted
--                           with the job.
-- stats             hash    "<inc, max, min or set>:<name>" -> value for all nodes.
--                           stat writes; deleted with the job.
-- cookies           list    MessagePack of {node, change}, for the other nodes.
--                           cookies adds; deleted with the job.
-- throttled         list    Groups that have refused a request, each once.
--                           leave, slow_down and change_limits add; deleted with the job.
-- dead_letters      list    JSON of requests that were given up: at_s, attempts, group,
--                           request. dead_letter and a node's death add; retry
--                           removes; deleted with the job.
-- control           hash    Desired state: paused (1 or 0) and
--                           limits:<group> (JSON); watched_s, when a page outside has
--                           asked for reports. Written by control.py, not here.
-- commands          list    JSON of commands for the node that leads: id, op, and more.
--                           control.py adds and removes.
-- answers           hash    Id of a command -> its answer, as JSON. control.py adds;
--                           who gave the command removes.
-- reports           hash    Node -> JSON of its memory, CPU and worker restarts, for
--                           pages outside. control.py writes while one is open; it
--                           expires.

local base = string.sub(KEYS[1], 1, -4) -- without "job"

local keys = {}
for _, name in ipairs({
  'job', 'seen', 'requests', 'waiting_groups', 'ready', 'paused', 'default_limits',
  'limiters', 'idle', 'nodes', 'members', 'attempts', 'in_doubt', 'in_doubt_of_dead',
  'orphans', 'stream', 'outputs', 'notes', 'stats', 'cookies', 'throttled',
  'dead_letters', 'control', 'commands', 'answers', 'reports',
}) do
  keys[name] = base .. name
end

-- Keys of a group, a node or a batch each.
local function keys_of(kind)
  return function(name)
    return base .. kind .. ':' .. name
  end
end

local waiting_key = keys_of('waiting')
local node_key = keys_of('node')
local leases_key = keys_of('leases')
local unleased_key = keys_of('unleased')
local items_key = keys_of('items')
local batch_key = keys_of('batch')
