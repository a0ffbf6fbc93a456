-- At most so many messages for one recipient in any such time.
-- KEYS: times of the last messages, in milliseconds. ARGV: how many at most, milliseconds, now.
-- Returns 0 if one more may go now, else when it may.
local most, within, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local oldest = redis.call('LINDEX', KEYS[1], most - 1)
if oldest and tonumber(oldest) + within > now then
  return tonumber(oldest) + within
end
redis.call('LPUSH', KEYS[1], ARGV[3])
redis.call('LTRIM', KEYS[1], 0, most - 1)
redis.call('PEXPIRE', KEYS[1], within)
return 0
