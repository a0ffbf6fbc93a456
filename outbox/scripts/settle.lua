-- What became of a delivery. A state never goes back: a late "sent" does not undo a "delivered".
-- KEYS: log. ARGV: a msgpack map: key, attempt?, expect?, seen?, state, set, due?, final?, force?, drop?, refund?, log,
-- requeue?, park?, story?, about?, keep
-- Returns {state now, 1 if it changed}, {'gone'}, or {'moved', state} if it is not in the state *expect* any more, or
-- again: *seen* is the log entry by which it came to be. *about* is the platform's id that a report is about.
local base = string.sub(KEYS[1], 1, -4)
local settle = cmsgpack.unpack(ARGV[1])
local key = base .. 'd:' .. settle.key
local state, conv, attempts, line, before = unpack(redis.call('HMGET', key, 'state', 'conv', 'attempts', 'line', 'log'))
if not state then
  return {'gone'}
end
local rank = {queued = 0, deferred = 0, sending = 1, uncertain = 2, dead = 2, sent = 3, failed = 4, delivered = 5, read = 6}
local troubled = {uncertain = true, dead = true, failed = true}
-- The number of the attempt fences: whoever has lost the partition still knows best what became of its own attempt,
-- unless somebody has claimed the delivery since. Even then a platform's yes settles what is uncertain.
if settle.attempt and settle.attempt ~= attempts and not (state == 'uncertain' and rank[settle.state] > rank.uncertain) then
  return {'gone'}
end
if settle.expect and (settle.expect ~= state or (settle.seen or before) ~= before) then
  return {'moved', state}
end

local better = rank[settle.state] > rank[state]
if settle.about then
  -- the best that the platform has reported about each of its ids
  local known, ext, part, of = unpack(redis.call('HMGET', key, 'reports', 'ext', 'part', 'of'))
  local reports = known and known ~= '' and cjson.decode(known) or {}
  local last = string.match(ext or '', '[^ ]*$')
  local several = tonumber(of or 1) > 1

  local function whole()
    for _, report in pairs(reports) do
      if report == 'failed' then
        return report
      end
    end
    return tonumber(part or 0) >= tonumber(of) and (reports[last] or 'sent')
  end

  local old = several and whole()
  if rank[settle.state] > (rank[reports[settle.about]] or rank.uncertain) then
    reports[settle.about] = settle.state
    redis.call('HSET', key, 'reports', cjson.encode(reports))
  end
  if several and not settle.force then
    -- a part that failed beats all, else the last one speaks for them once all are out
    local new = whole()
    if not new or (settle.about ~= last and new ~= 'failed' and old ~= 'failed') then
      return {state, 0}
    end
    better = rank[new] > rank[state] or (new == 'failed' and state ~= new) or (old == 'failed' and new ~= old)
    settle.state = new
    for index = 1, #settle.log, 2 do
      if settle.log[index] == 'st' then
        settle.log[index + 1] = new
      end
    end
  end
end

local function note(was)
  -- each entry names the one before, so that the history can be read without being kept twice
  local entry = settle.log
  for _, pair in ipairs({{'was', troubled[was] and was}, {'pv', before}}) do
    if pair[2] then
      entry[#entry + 1] = pair[1]
      entry[#entry + 1] = pair[2]
    end
  end
  local id = redis.call('XADD', KEYS[1], '*', unpack(entry))
  redis.call('HSET', key, 'log', id)
  if conv then
    local mark = (troubled[was] or troubled[state]) and 'v' or 'w'
    redis.call('RPUSH', base .. 't:' .. conv, mark .. id)
  end
end

local function list(name, belongs)
  if belongs then
    redis.call('ZADD', base .. name, settle.at, settle.key)
  else
    redis.call('ZREM', base .. name, settle.key)
  end
end

local changed = 0
if settle.force or better or (settle.state == 'deferred' and state == 'sending') then
  local was = state
  state, changed = settle.state, 1
  redis.call('HSET', key, 'state', state, unpack(settle.set))
  note(was)
  if settle.story and conv then
    redis.call('RPUSH', base .. 't:' .. conv, 's' .. redis.call('XADD', KEYS[1], '*', unpack(settle.story)))
  end
  if settle.refund then
    local left = redis.call('HGET', base .. settle.refund[1], settle.refund[2])
    if left and left ~= '' then
      redis.call('HINCRBY', base .. settle.refund[1], settle.refund[2], 1)
    end
  end
  list('dead', (state == 'dead' or state == 'failed') and not settle.drop)
  list('uncertain', state == 'uncertain')
  if state == 'uncertain' and settle.ask then
    redis.call('ZADD', base .. 'asks', settle.ask, settle.key)
  elseif was == 'uncertain' then
    redis.call('ZREM', base .. 'asks', settle.key)
  end
  if line then
    -- a letter stands on no timeline: once it is out, or given up, nobody needs its record for long
    if settle.final and not redis.call('ZSCORE', base .. 'dead', settle.key) and state ~= 'uncertain' then
      redis.call('PEXPIRE', key, settle.keep)
    else
      redis.call('PERSIST', key)
    end
  end
end

local queue = line or 'q:' .. conv

local function lead()
  local next_key = redis.call('LINDEX', base .. queue, 0)
  if next_key and not redis.call('ZSCORE', base .. 'due', next_key) then
    redis.call('ZADD', base .. 'due', redis.call('HGET', base .. 'd:' .. next_key, 'due') or settle.at, next_key)
  end
end

if (settle.final or settle.requeue) and redis.call('HDEL', key, 'parked') == 1 then
  redis.call('ZREM', base .. 'parked', settle.key)
  redis.call('LREM', base .. 'w:' .. queue, 1, settle.key)
  redis.call('ZREM', base .. 'due', settle.key) -- it was due on its own; in a line it is when its turn comes
end
if settle.park and changed == 1 then
  -- out of the line, so that nothing waits for it
  redis.call('HSET', key, 'parked', '1')
  redis.call('HSETNX', key, 'since', settle.at)
  redis.call('ZADD', base .. 'parked', settle.due, settle.key)
  redis.call('ZADD', base .. 'due', settle.due, settle.key)
  if queue ~= '' then
    redis.call('RPUSH', base .. 'w:' .. queue, settle.key)
    redis.call('LREM', base .. queue, 1, settle.key)
    lead()
  end
elseif queue == '' then
  if settle.final then
    redis.call('ZREM', base .. 'due', settle.key)
  elseif settle.requeue or (settle.due and redis.call('ZSCORE', base .. 'due', settle.key)) then
    redis.call('ZADD', base .. 'due', settle.due, settle.key)
  end
elseif settle.requeue then
  -- what still waits keeps its place: nothing may overtake it
  if not redis.call('LPOS', base .. queue, settle.key) then
    redis.call('RPUSH', base .. queue, settle.key)
  end
  if redis.call('LINDEX', base .. queue, 0) == settle.key then
    redis.call('ZADD', base .. 'due', settle.due, settle.key)
  end
elseif settle.final then
  redis.call('ZREM', base .. 'due', settle.key)
  redis.call('LREM', base .. queue, 1, settle.key)
  lead()
elseif settle.due and redis.call('ZSCORE', base .. 'due', settle.key) then
  redis.call('ZADD', base .. 'due', settle.due, settle.key)
end
return {state, changed}
