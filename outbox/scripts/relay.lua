-- How far each outgoing webhook is in a partition's log: by its name the place, and for a replay 'name upto' and
-- 'name key' (see outbox/relays.py). KEYS: the partition's log. ARGV: verb, then what it needs.
local base = string.sub(KEYS[1], 1, -4)
local places = base .. 'hooks'

if ARGV[1] == 'rewind' then
  -- name, place, key: read again from place up to where it is now; a replay that is under way is not shortened
  local at = redis.call('HGET', places, ARGV[2])
  if not at then
    return 0
  end
  local upto = redis.call('HGET', places, ARGV[2] .. ' upto') or at
  redis.call('HSET', places, ARGV[2], ARGV[3], ARGV[2] .. ' upto', upto, ARGV[2] .. ' key', ARGV[4])
  return 1
end

if redis.call('HGET', base .. 'lease', 'epoch') ~= ARGV[2] then
  return -1
end
if ARGV[1] == 'open' then
  -- epoch, now, milliseconds after which an endpoint was forgotten, then names: begin at the end of the log with what
  -- is new or was not configured for long; returns all fields
  local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
  local last_id = last[1] and last[1][1] or '0-0'
  for index = 5, #ARGV do
    local name = ARGV[index]
    local seen = redis.call('HGET', places, name .. ' seen')
    if not seen or ARGV[3] - seen > tonumber(ARGV[4]) then
      redis.call('HDEL', places, name .. ' upto', name .. ' key')
      redis.call('HSET', places, name, last_id)
    end
    redis.call('HSET', places, name .. ' seen', ARGV[3])
  end
  return redis.call('HGETALL', places)
end
-- move: epoch, then name, the place that was read from, the new place; an endpoint that was rewound meanwhile stays
for index = 3, #ARGV, 3 do
  local name, from, to = ARGV[index], ARGV[index + 1], ARGV[index + 2]
  if redis.call('HGET', places, name) == from then
    redis.call('HSET', places, name, to)
  end
end
return 1
