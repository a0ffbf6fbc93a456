-- Evenly spaced turns that all processes share, by the store's own clock: a burst would double the rate of its second.
-- KEYS: when the next turn is free. ARGV: turns per second. Returns the microseconds to wait before sending (0 = now).
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local gap = 1000000 / tonumber(ARGV[1])
local start = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
redis.call('SET', KEYS[1], string.format('%.0f', start + gap), 'PX', math.ceil((start - now + gap) / 1000) + 60000)
return math.floor(start - now)
