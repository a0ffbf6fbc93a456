-- A worker says that it lives, by the store's own clock; the dead are dropped after a minute.
-- KEYS: workers. ARGV: worker ('' = only look), milliseconds after which a silent worker is dead.
-- Returns the names of the living.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[1] ~= '' then
  redis.call('ZADD', KEYS[1], now, ARGV[1])
end
-- The clock may have gone back: who lives says so again soon, and the dead do not live until it has come up to them.
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')) do
  redis.call('ZADD', KEYS[1], now, worker)
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 60000)
return redis.call('ZRANGEBYSCORE', KEYS[1], now - ARGV[2], '+inf')
