-- Number the units of a stratum as they come: 0, 1, 2 …; the same unit gets its number again until it is let go.
-- KEYS: counters by stratum, numbers that are not written down elsewhere yet. ARGV: 'take' or 'done', stratum, unit.
if ARGV[1] == 'done' then
  return redis.call('HDEL', KEYS[2], ARGV[3])
end
local known = redis.call('HGET', KEYS[2], ARGV[3])
if known then
  return tonumber(known)
end
local number = redis.call('HINCRBY', KEYS[1], ARGV[2], 1) - 1
redis.call('HSET', KEYS[2], ARGV[3], number)
return number
