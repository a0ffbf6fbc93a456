-- Duplicate check and log entry in one step.
-- KEYS: log, seen bucket. ARGV: digest, then the entry's fields.
-- Returns {1, log id} for a new event, {0, log id of the first} for a repeated one.
local first = redis.call('HGET', KEYS[2], ARGV[1])
if first then
  return {0, first}
end
local id = redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))
redis.call('HSET', KEYS[2], ARGV[1], id)
return {1, id}
