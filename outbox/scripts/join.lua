-- A parked delivery stands in line again, and with it those of its line that were accepted before it and are due too.
-- KEYS: due set. ARGV: delivery key, now, 'now' if it shall not wait for its time.
-- Its age begins anew: what it waited for was no failure.
local base = string.sub(KEYS[1], 1, -4)
local facts = redis.call('HMGET', base .. 'd:' .. ARGV[1], 'parked', 'conv', 'line')
if facts[1] ~= '1' then
  return 0
end
if ARGV[3] == 'now' then
  redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
end
local line = facts[3] or ('q:' .. facts[2])
local joined = 0
local names = line == '' and {ARGV[1]} or redis.call('LRANGE', base .. 'w:' .. line, 0, -1)
for _, name in ipairs(names) do
  local due = redis.call('ZSCORE', KEYS[1], name)
  if not due or tonumber(due) <= tonumber(ARGV[2]) then
    redis.call('LREM', base .. 'w:' .. line, 1, name)
    redis.call('ZREM', base .. 'parked', name)
    redis.call('ZREM', KEYS[1], name)
    if due then
      redis.call('HDEL', base .. 'd:' .. name, 'parked')
      redis.call('HSET', base .. 'd:' .. name, 'due', ARGV[2], 'created', ARGV[2])
      joined = joined + 1
      if line == '' then
        redis.call('ZADD', KEYS[1], ARGV[2], name)
      else
        redis.call('RPUSH', base .. line, name)
      end
    end
  end
end
local head = line ~= '' and redis.call('LINDEX', base .. line, 0)
if head and not redis.call('ZSCORE', KEYS[1], head) then
  redis.call('ZADD', KEYS[1], ARGV[2], head)
end
return joined
