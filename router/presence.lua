-- Say whether an agent is there. ARGV: agent, what was said (JSON, '' = nothing any more), when it ends (ms, 0 = never),
-- now, 1 if what they have not answered goes back to the queues.
-- Returns what had been said before ('' = nothing).
local before = redis.call('HGET', key('presence'), ARGV[1]) or ''
if ARGV[2] == '' then
  redis.call('HDEL', key('presence'), ARGV[1])
else
  redis.call('HSET', key('presence'), ARGV[1], ARGV[2])
end
if ARGV[3] == '0' then
  redis.call('ZREM', key('due'), 'p ' .. ARGV[1])
else
  redis.call('ZADD', key('due'), ARGV[3], 'p ' .. ARGV[1])
end
if ARGV[5] == '1' then
  for _, conversation in ipairs(redis.call('ZRANGE', key('has:' .. ARGV[1]), 0, -1)) do
    redis.call('ZADD', key('due'), ARGV[4], 's ' .. conversation)
  end
end
return before
