-- Locks and boxes of a connector's memory.
-- KEYS: the key, and for boxes the hash of ids (its field '' counts the items that were trimmed).
-- ARGV: verb, then what it needs.
local verb = ARGV[1]
if verb == 'unlock' then
  if redis.call('GET', KEYS[1]) == ARGV[2] then
    return redis.call('DEL', KEYS[1])
  end
  return 0
end
if verb == 'prolong' then
  if redis.call('GET', KEYS[1]) == ARGV[2] then
    return redis.call('PEXPIRE', KEYS[1], ARGV[3])
  end
  return 0
end
local trimmed = tonumber(redis.call('HGET', KEYS[2], '') or '0')
if verb == 'post' then
  -- id, item, seconds to keep, most items
  local known = redis.call('HGET', KEYS[2], ARGV[2])
  if known then
    return tonumber(known)
  end
  local length = redis.call('RPUSH', KEYS[1], ARGV[2] .. '\n' .. ARGV[3])
  local position = trimmed + length
  redis.call('HSET', KEYS[2], ARGV[2], position)
  if length > tonumber(ARGV[5]) then
    local oldest = redis.call('LPOP', KEYS[1])
    redis.call('HDEL', KEYS[2], string.match(oldest, '^[^\n]*'))
    redis.call('HINCRBY', KEYS[2], '', 1)
  end
  redis.call('EXPIRE', KEYS[1], ARGV[4])
  redis.call('EXPIRE', KEYS[2], ARGV[4])
  return position
end
-- read: after. Returns the position before the first item, then the items.
local start = math.max(0, tonumber(ARGV[2]) - trimmed)
return {trimmed + start, redis.call('LRANGE', KEYS[1], start, -1)}
