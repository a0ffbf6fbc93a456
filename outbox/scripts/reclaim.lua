-- Make due at once what an earlier owner of the partition was sending when it died: nobody waits for its claims to run out.
-- KEYS: due set. ARGV: epoch, now, milliseconds the sender may take.
-- Returns how many there were, or -1 if the partition belongs to another worker now.
local base = string.sub(KEYS[1], 1, -4)
if redis.call('HGET', base .. 'lease', 'epoch') ~= ARGV[1] then
  return -1
end
redis.call('HDEL', base .. 'lease', 'orphans')
local count = 0
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[2], ARGV[2] + ARGV[3])) do
  local claim = redis.call('HMGET', base .. 'd:' .. name, 'state', 'epoch')
  if claim[1] == 'sending' and claim[2] ~= ARGV[1] then
    redis.call('ZADD', KEYS[1], ARGV[2], name)
    count = count + 1
  end
end
return count
