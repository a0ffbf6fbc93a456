-- The request goes out now: remember that it may have, and use up one message of the reply window.
-- KEYS: due set. ARGV: epoch, delivery key, attempt, address record, window field ('' = none), now, milliseconds
-- the sender may take, number of parts, 1 if nothing goes when the window is used up.
-- Returns 1, 0 if another worker has taken over, or 2 if nothing is left of the window.
local base = string.sub(KEYS[1], 1, -4)
local key = base .. 'd:' .. ARGV[2]
if redis.call('HGET', base .. 'lease', 'epoch') ~= ARGV[1] then
  return 0
end
local state = redis.call('HMGET', key, 'state', 'attempts', 'left')
if state[1] ~= 'sending' or state[2] ~= ARGV[3] then
  return 0
end
local window = ARGV[5] ~= '' and redis.call('HGET', base .. ARGV[4], ARGV[5])
if window == '0' and state[3] ~= '1' and ARGV[9] == '1' then
  return 2
end
redis.call('HSET', key, 'left', '1')
if ARGV[8] ~= '1' or redis.call('HEXISTS', key, 'of') == 1 then -- an attempt before may have had other parts
  redis.call('HSET', key, 'of', ARGV[8])
end
redis.call('ZADD', KEYS[1], ARGV[6] + ARGV[7], ARGV[2])
-- a connector that repeats a refused request within one attempt leaves again; it uses up one message only
if window and window ~= '' and state[3] ~= '1' and tonumber(window) > 0 then
  redis.call('HINCRBY', base .. ARGV[4], ARGV[5], -1)
end
return 1
