-- Have the clocks of every conversation that is not resolved looked at anew, if they were set by other promises.
-- KEYS: the partition's log. ARGV: epoch, digest of the promises. Returns 1, 0 if they are the same, -1 if the
-- partition was lost.
local base = string.sub(KEYS[1], 1, -4)
if redis.call('HGET', base .. 'lease', 'epoch') ~= ARGV[1] then
  return -1
end
if redis.call('GET', base .. 'promises') == ARGV[2] then
  return 0
end
redis.call('ZUNIONSTORE', base .. 'clocks', 4, base .. 'clocks',
  base .. 'i:s:open', base .. 'i:s:pending', base .. 'i:s:snoozed', 'WEIGHTS', 0, 0, 0, 0)
redis.call('SET', base .. 'promises', ARGV[2])
return 1
