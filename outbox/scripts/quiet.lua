-- Leave a person alone for a while after each invitation. KEYS: the hash of a contact or an address.
-- ARGV: 'take', invitation, now, how long; or 'give', invitation. Its field "asked" holds "when invitation when-before".
-- Returns 1 if the person may be asked (and is marked), 0 if it is too early.
local value = redis.call('HGET', KEYS[1], 'asked')
local at, who, before = '0', '', '0'
if value then
  at, who, before = string.match(value, '^(%d+) (%S*) (%d+)$')
end
if ARGV[1] == 'give' then
  if who == ARGV[2] then
    if before == '0' then
      redis.call('HDEL', KEYS[1], 'asked')
    else
      redis.call('HSET', KEYS[1], 'asked', before .. ' - 0')
    end
  end
  return 1
end
if who == ARGV[2] then
  return 1
end
if tonumber(at) + tonumber(ARGV[4]) > tonumber(ARGV[3]) then
  return 0
end
redis.call('HSET', KEYS[1], 'asked', ARGV[3] .. ' ' .. ARGV[2] .. ' ' .. at)
return 1
