-- Locks and boxes of a connector's memory.
-- KEYS: the key. ARGV: verb, then what it needs.
local verb = ARGV[1]
if verb == 'unlock' then
  if redis.call('GET', KEYS[1]) == ARGV[2] then
    return redis.call('DEL', KEYS[1])
  end
  return 0
end
if verb == 'post' then
  -- KEYS[1] is a list, KEYS[2] a hash id -> position. ARGV: verb, id, item, seconds.
  local known = redis.call('HGET', KEYS[2], ARGV[2])
  if known then
    return {0, tonumber(known)}
  end
  local position = redis.call('RPUSH', KEYS[1], ARGV[3])
  redis.call('HSET', KEYS[2], ARGV[2], position)
  redis.call('EXPIRE', KEYS[1], ARGV[4])
  redis.call('EXPIRE', KEYS[2], ARGV[4])
  return {1, position}
end
