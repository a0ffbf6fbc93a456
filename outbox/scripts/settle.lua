-- What became of a delivery. A state never goes back: a late "sent" does not undo a "delivered".
-- KEYS: log. ARGV: a msgpack map: key, attempt?, expect?, state, set, due?, final?, force?, drop?, refund?, log, requeue?
-- Returns {state now, 1 if it changed}, {'gone'}, or {'moved', state} if it is not in the state *expect*.
local base = string.sub(KEYS[1], 1, -4)
local settle = cmsgpack.unpack(ARGV[1])
local key = base .. 'd:' .. settle.key
local old = redis.call('HMGET', key, 'state', 'conv', 'attempts')
if not old[1] then
  return {'gone'}
end
local rank = {queued = 0, deferred = 0, sending = 1, uncertain = 2, dead = 2, sent = 3, failed = 4, delivered = 5, read = 6}
-- The number of the attempt fences: whoever has lost the partition still knows best what became of its own attempt,
-- unless somebody has claimed the delivery since. Even then a platform's yes settles what is uncertain.
if settle.attempt and settle.attempt ~= old[3] and not (old[1] == 'uncertain' and rank[settle.state] > rank.uncertain) then
  return {'gone'}
end
if settle.expect and settle.expect ~= old[1] then
  return {'moved', old[1]}
end
local state, changed = old[1], 0
if settle.force or rank[settle.state] > rank[old[1]] or (settle.state == 'deferred' and old[1] == 'sending') then
  state, changed = settle.state, 1
  redis.call('HSET', key, 'state', state, unpack(settle.set))
  if settle.log then
    redis.call('XADD', KEYS[1], '*', unpack(settle.log))
  end
  if settle.refund then
    local left = redis.call('HGET', base .. settle.refund[1], settle.refund[2])
    if left and left ~= '' then
      redis.call('HINCRBY', base .. settle.refund[1], settle.refund[2], 1)
    end
  end
  if (state == 'dead' or state == 'failed') and not settle.drop then
    redis.call('ZADD', base .. 'dead', settle.at, settle.key)
  else
    redis.call('ZREM', base .. 'dead', settle.key)
  end
  if state == 'uncertain' then
    redis.call('ZADD', base .. 'uncertain', settle.at, settle.key)
  else
    redis.call('ZREM', base .. 'uncertain', settle.key)
  end
end
local queue = base .. 'q:' .. old[2]
if settle.requeue then
  -- what still waits keeps its place: nothing may overtake it
  if not redis.call('LPOS', queue, settle.key) then
    redis.call('RPUSH', queue, settle.key)
  end
  if redis.call('LINDEX', queue, 0) == settle.key then
    redis.call('ZADD', base .. 'due', settle.due, settle.key)
  end
elseif settle.final then
  redis.call('ZREM', base .. 'due', settle.key)
  redis.call('LREM', queue, 1, settle.key)
  local next_key = redis.call('LINDEX', queue, 0)
  if next_key and not redis.call('ZSCORE', base .. 'due', next_key) then
    redis.call('ZADD', base .. 'due', redis.call('HGET', base .. 'd:' .. next_key, 'due') or settle.at, next_key)
  end
elseif settle.due and redis.call('ZSCORE', base .. 'due', settle.key) then
  redis.call('ZADD', base .. 'due', settle.due, settle.key)
end
return {state, changed}
