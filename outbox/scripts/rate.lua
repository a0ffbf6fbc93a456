-- Evenly spaced turns that all processes share, by the store's own clock: a burst would double the rate of its second.
-- Nobody reserves far ahead, so that whoever comes later in an earlier lane waits for few others.
-- KEYS: the channel's turns: 'next' (when one is free), and by lane until when somebody is known to wait.
-- ARGV: microseconds between turns, how far ahead a turn may be taken, lane (0 goes first), how many at most.
-- Returns how many turns were taken, and the microseconds until the first of them, or until it is worth asking again.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local gap, ahead, lane, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local known = redis.call('HMGET', KEYS[1], 'next', '0', '1', '2')
local start = math.max(tonumber(known[1] or '0'), now)
local waits = false
for earlier = 0, lane - 1 do
  waits = waits or tonumber(known[earlier + 2] or '0') > now
end
redis.call('PEXPIRE', KEYS[1], math.ceil((start - now + gap) / 1000) + 60000)
if waits or start - now > ahead then
  local again = waits and math.max(start - now - ahead, gap) or start - now - ahead
  if lane < 3 then
    -- it will ask again then; a little later it has died, or gone elsewhere
    redis.call('HSET', KEYS[1], tostring(lane), string.format('%.0f', now + again + 500000))
  end
  return {0, math.ceil(again)}
end
local count = 0
while count < most and start + count * gap - now <= ahead do
  count = count + 1
end
redis.call('HSET', KEYS[1], 'next', string.format('%.0f', start + count * gap))
redis.call('HDEL', KEYS[1], tostring(lane))
redis.call('PEXPIRE', KEYS[1], math.ceil((start - now + (count + 1) * gap) / 1000) + 60000)
return {count, math.floor(start - now)}
