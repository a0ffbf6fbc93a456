-- Say who has a conversation now: an agent, or nobody.
-- KEYS: any key of the slot. ARGV: conversation, agent ('' = nobody), team it may be waiting for ('' = none).
-- Returns the agent who had it before ('' = nobody).
local base = string.match(KEYS[1], '^(.*}:)')
local before = redis.call('HGET', base .. 'of', ARGV[1]) or ''
redis.call('HDEL', base .. 'handoff', ARGV[1])
if ARGV[3] ~= '' then
  redis.call('ZREM', base .. 'wait:' .. ARGV[3], ARGV[1])
end
if before ~= ARGV[2] then
  if before ~= '' then
    if redis.call('HINCRBY', base .. 'load', before, -1) < 0 then
      redis.call('HSET', base .. 'load', before, 0)
    end
    redis.call('HDEL', base .. 'of', ARGV[1])
  end
  if ARGV[2] ~= '' then
    redis.call('HSET', base .. 'of', ARGV[1], ARGV[2])
    redis.call('HINCRBY', base .. 'load', ARGV[2], 1)
  end
end
return before
