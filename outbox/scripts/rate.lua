-- A token bucket that all processes share, by the store's own clock.
-- KEYS: bucket. ARGV: tokens per second, burst. Returns the milliseconds to wait before sending (0 = now).
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local gap = 1000 / tonumber(ARGV[1])
local free = tonumber(redis.call('GET', KEYS[1]) or '0')
local start = math.max(free, now - gap * (tonumber(ARGV[2]) - 1))
redis.call('SET', KEYS[1], tostring(math.floor(start + gap)), 'PX', 60000 + math.ceil(gap))
return math.max(0, math.ceil(start - now))
