-- What an agent holds in hand who answers where nothing threads: short codes of conversations, and which one is meant.
-- KEYS: the agent's hash. ARGV: "told", "chose" or "code", conversation, time of the last thing seen in it, now, most codes, life,
-- and for how long something counts as not yet read.
-- Returns the conversation's code.
local hash, what, conversation, seen, now = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local code = redis.call('HGET', hash, 'n:' .. conversation)
if not code then
  local count = redis.call('HINCRBY', hash, 'count', 1)
  code = tostring(count + 9)
  redis.call('HSET', hash, 'n:' .. conversation, code, 'c:' .. code, conversation)
  local old = tostring(count + 9 - tonumber(ARGV[5]))
  local gone = redis.call('HGET', hash, 'c:' .. old)
  if gone then
    redis.call('HDEL', hash, 'c:' .. old, 'n:' .. gone, 's:' .. gone)
  end
end
if seen ~= '' then
  local last, at, before = string.match(redis.call('HGET', hash, 's:' .. conversation) or '', '^(%S+) (%d+) (%S+)$')
  if last and tonumber(now) - tonumber(at) >= tonumber(ARGV[7]) then
    before = last
  end
  redis.call('HSET', hash, 's:' .. conversation, seen .. ' ' .. now .. ' ' .. (before or seen))
end
redis.call('PEXPIRE', hash, ARGV[6])
if what == 'code' then
  return code
end
local known = redis.call('HMGET', hash, 'now', 'since')
if what == 'chose' then
  redis.call('HSET', hash, 'now', conversation, 'since', now)
  redis.call('HDEL', hash, 'was')
elseif known[1] ~= conversation then
  if known[1] then
    redis.call('HSET', hash, 'was', known[1])
  end
  redis.call('HSET', hash, 'now', conversation, 'since', now)
end
return code
