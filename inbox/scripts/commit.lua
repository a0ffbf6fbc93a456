-- One atomic change of one conversation and of what hangs on it; every part of it touches one slot.
-- KEYS: the partition's log. ARGV: a msgpack map (see inbox/conversations.py: Change).
-- Returns {'ok', version, ids of the new log entries…}, {'done', conversation} if an earlier run did it,
-- {'conflict', version} if the conversation, or what `same` names, has moved on, or {'fenced'} if the caller lost the
-- partition.
local base = string.sub(KEYS[1], 1, -4)
local change = cmsgpack.unpack(ARGV[1])

if change.epoch and redis.call('HGET', base .. 'lease', 'epoch') ~= change.epoch then
  return {'fenced'}
end

local function after(one, other)
  local ms1, seq1 = string.match(one, '^(%d+)-(%d+)$')
  local ms2, seq2 = string.match(other, '^(%d+)-(%d+)$')
  ms1, seq1, ms2, seq2 = tonumber(ms1), tonumber(seq1), tonumber(ms2), tonumber(seq2)
  return ms1 > ms2 or (ms1 == ms2 and seq1 > seq2)
end

if change.once then
  -- {key, field with the last log position, this position, field with the answer}
  local placed = redis.call('HMGET', base .. change.once[1], change.once[2], change.once[4])
  if placed[1] and not after(change.once[3], placed[1]) then
    return {'done', placed[2] or ''}
  end
end
if change.unless and redis.call('EXISTS', base .. change.unless) == 1 then
  return {'done', change.unless}
end
if change.same and (redis.call('HGET', base .. change.same[1], change.same[2]) or '') ~= change.same[3] then
  return {'conflict', ''}
end

local id = change.id
local result = {'ok', '0'}
if id then
  local key = base .. 'c:' .. id
  local old = redis.call('HMGET', key, 'version', 'status', 'team', 'agent', 'channel')
  local version = old[1] or '0'
  if change.version and change.version ~= version then
    return {'conflict', version}
  end
  if change.set and #change.set > 0 then
    redis.call('HSET', key, unpack(change.set))
  end
  if change.unset and #change.unset > 0 then
    redis.call('HDEL', key, unpack(change.unset))
  end
  for _, step in ipairs(change.count or {}) do
    redis.call('HINCRBY', key, step[1], step[2])
  end
  result[2] = tostring(redis.call('HINCRBY', key, 'version', 1))
  -- The lists: a conversation stands under its status, and under team, agent and channel with that status.
  local new = redis.call('HMGET', key, 'last', 'status', 'team', 'agent', 'channel')
  local function list(name, value, status)
    if value and value ~= '' and status then
      return base .. 'i:' .. name .. ':' .. value .. ':' .. status
    end
  end
  if old[2] then
    for _, place in ipairs({
      {base .. 'i:s:' .. old[2], base .. 'i:s:' .. new[2]},
      {list('t', old[3], old[2]) or '', list('t', new[3], new[2]) or ''},
      {list('a', old[4], old[2]) or '', list('a', new[4], new[2]) or ''},
      {list('c', old[5], old[2]) or '', list('c', new[5], new[2]) or ''},
    }) do
      if place[1] ~= '' and place[1] ~= place[2] then
        redis.call('ZREM', place[1], id)
      end
    end
  end
  redis.call('ZADD', base .. 'i:s:' .. new[2], new[1], id)
  for _, place in ipairs({list('t', new[3], new[2]) or '', list('a', new[4], new[2]) or '', list('c', new[5], new[2]) or ''}) do
    if place ~= '' then
      redis.call('ZADD', place, new[1], id)
    end
  end
end

for _, record in ipairs(change.records or {}) do
  redis.call('HSET', base .. record[1], unpack(record[2]))
end
for _, item in ipairs(change.timeline or {}) do
  redis.call('RPUSH', base .. 't:' .. id, item)
end
for _, entry in ipairs(change.log or {}) do
  local entry_id = redis.call('XADD', KEYS[1], '*', unpack(entry[2]))
  result[#result + 1] = entry_id
  if entry[1] ~= '' then
    redis.call('RPUSH', base .. 't:' .. id, entry[1] .. entry_id)
  end
  if change.link and change.link[1] == #result - 2 then
    -- the delivery learns which log entry holds its message
    redis.call('HSET', base .. change.link[2], change.link[3], entry_id)
  end
end
for _, step in ipairs(change.queue or {}) do
  -- {queue or '', delivery, due}: only the head of a queue is due
  if step[1] == '' or redis.call('RPUSH', base .. step[1], step[2]) == 1 then
    redis.call('ZADD', base .. 'due', step[3], step[2])
  end
end
for _, step in ipairs(change.marks or {}) do
  redis.call('ZADD', base .. step[1], step[2], step[3])
end
for _, step in ipairs(change.unmarks or {}) do
  redis.call('ZREM', base .. step[1], step[2])
end
return result
