-- Take one due delivery to send it.
-- KEYS: due set. ARGV: epoch, delivery key, now, milliseconds the sender may take, the worker that sends.
-- Returns {'ok', fields…}, {'crashed', fields…} if an earlier attempt may have left, {'gone'} or {'fenced'}.
local base = string.sub(KEYS[1], 1, -4)
if redis.call('HGET', base .. 'lease', 'epoch') ~= ARGV[1] then
  return {'fenced'}
end
local key = base .. 'd:' .. ARGV[2]
local state = redis.call('HMGET', key, 'state', 'left')
local due = redis.call('ZSCORE', KEYS[1], ARGV[2])
if not state[1] or not due or tonumber(due) > tonumber(ARGV[3]) then
  return {'gone'}
end
redis.call('ZADD', KEYS[1], ARGV[3] + ARGV[4], ARGV[2])
local verdict = 'ok'
if state[1] == 'sending' and state[2] == '1' then
  verdict = 'crashed'
else
  redis.call('HSET', key, 'state', 'sending', 'left', '0')
end
redis.call('HSET', key, 'worker', ARGV[5])
redis.call('HINCRBY', key, 'attempts', 1)
local result = {verdict}
for _, value in ipairs(redis.call('HGETALL', key)) do
  result[#result + 1] = value
end
return result
