-- One step of a bulk send. KEYS: when campaigns of the partition are to be looked at next (sorted set).
-- ARGV: operation, campaign key, …; everything of a campaign lies in its partition.
local base = string.sub(KEYS[1], 1, -5)
local name = ARGV[2]
local key = base .. 'b:' .. name

if ARGV[1] == 'create' then
  -- time, then fields of its record. Returns 1, or 0 if there is one of this name.
  if redis.call('EXISTS', key) == 1 then
    return 0
  end
  redis.call('HSET', key, unpack(ARGV, 4))
  redis.call('ZADD', base .. 'campaigns', ARGV[3], name)
  return 1
end

local state = redis.call('HGET', key, 'state')
if not state then
  return {'gone'}
end

if ARGV[1] == 'turn' then
  -- new state, time, allowed former states, fields… Returns {'ok'} or {'moved', state}.
  if not string.find(' ' .. ARGV[5] .. ' ', ' ' .. state .. ' ', 1, true) then
    return {'moved', state}
  end
  redis.call('HSET', key, 'state', ARGV[3], 'changed', ARGV[4], unpack(ARGV, 6))
  redis.call('ZADD', KEYS[1], ARGV[4], name)
  return {'ok', state}
end

if ARGV[1] == 'left' then
  -- mark of an address: somebody opted out after it wrote to them. Each is counted once.
  if redis.call('HSETNX', base .. 'bx:' .. name, ARGV[3], '1') == 1 then
    redis.call('HINCRBY', key, 'n:opted_out', 1)
    redis.call('ZADD', KEYS[1], 0, name)
  end
  return {'ok', state}
end

-- What follows is done by the partition's owner alone. ARGV: …, epoch, …
if redis.call('HGET', base .. 'lease', 'epoch') ~= ARGV[3] then
  return {'fenced'}
end

if ARGV[1] == 'rows' then
  -- 'first' or 'more', rows…: the audience as it is put together; a first part begins anew.
  if state ~= 'preparing' then
    return {'moved', state}
  end
  if ARGV[4] == 'first' then
    redis.call('DEL', base .. 'br:' .. name)
  end
  if #ARGV > 4 then
    redis.call('RPUSH', base .. 'br:' .. name, unpack(ARGV, 5))
  end
elseif ARGV[1] == 'begin' then
  -- time, fields…: the audience is whole
  if state ~= 'preparing' then
    return {'moved', state}
  end
  redis.call('HSET', key, 'state', 'running', 'changed', ARGV[4], unpack(ARGV, 5))
  redis.call('ZADD', KEYS[1], ARGV[4], name)
elseif ARGV[1] == 'step' then
  -- number of the row, delivery or '', name of the count, time of the next row. Exactly one step for each row.
  if state ~= 'running' then
    return {'moved', state}
  end
  if (redis.call('HGET', key, 'next') or '0') ~= ARGV[4] then
    return {'moved', state}
  end
  redis.call('HINCRBY', key, 'next', 1)
  redis.call('HINCRBY', key, 'n:' .. ARGV[6], 1)
  redis.call('HSET', key, 'at', ARGV[7])
  if ARGV[5] ~= '' then
    redis.call('HSET', base .. 'bo:' .. name, ARGV[5], 'owed')
  end
elseif ARGV[1] == 'outcome' then
  -- delivery, former outcome, new outcome, '1' if nothing more is expected
  if redis.call('HGET', base .. 'bo:' .. name, ARGV[4]) ~= ARGV[5] then
    return {'moved', state}
  end
  if ARGV[5] ~= ARGV[6] then
    redis.call('HINCRBY', key, 'n:' .. ARGV[5], -1)
    redis.call('HINCRBY', key, 'n:' .. ARGV[6], 1)
  end
  if ARGV[7] == '1' then
    redis.call('HDEL', base .. 'bo:' .. name, ARGV[4])
  else
    redis.call('HSET', base .. 'bo:' .. name, ARGV[4], ARGV[6])
  end
elseif ARGV[1] == 'later' then
  -- time of the next look, '' = never again
  if ARGV[4] == '' then
    redis.call('ZREM', KEYS[1], name)
    redis.call('DEL', base .. 'bo:' .. name, base .. 'br:' .. name, base .. 'bl:' .. name)
  else
    redis.call('ZADD', KEYS[1], ARGV[4], name)
  end
end
return {'ok', state}
