-- Make due at once what workers were sending when they died: nobody waits for their claims to run out.
-- KEYS: due set. ARGV: epoch, now, milliseconds the sender may take, the owner, other workers that live.
-- Returns how many the others have in hand, who gave the partition up while they sent; -1 if it belongs to somebody else.
local base = string.sub(KEYS[1], 1, -4)
if redis.call('HGET', base .. 'lease', 'epoch') ~= ARGV[1] then
  return -1
end
local living = {}
for index = 4, #ARGV do
  living[ARGV[index]] = true
end
local others = 0
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[2], ARGV[2] + ARGV[3])) do
  local claim = redis.call('HMGET', base .. 'd:' .. name, 'state', 'worker')
  if claim[1] == 'sending' and not living[claim[2]] then
    redis.call('ZADD', KEYS[1], ARGV[2], name)
  elseif claim[1] == 'sending' and claim[2] ~= ARGV[4] then
    others = others + 1
  end
end
return others
