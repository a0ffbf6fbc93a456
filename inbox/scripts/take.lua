-- Take a partition over, if it still belongs to whom the caller believes.
-- KEYS: lease. ARGV: the owner that was seen ('' = nobody), the new owner ('' = give up), 1 if the former owner is dead.
-- Returns {the new epoch, 1 if a dead owner left something behind}; the epoch, the fencing token, is 0 if somebody
-- else was faster. What was left behind stays noted until somebody has looked after it.
local owner = redis.call('HGET', KEYS[1], 'owner') or ''
if owner ~= ARGV[1] then
  return {0, 0}
end
redis.call('HSET', KEYS[1], 'owner', ARGV[2])
if ARGV[3] == '1' then
  redis.call('HSET', KEYS[1], 'orphans', '1')
end
return {redis.call('HINCRBY', KEYS[1], 'epoch', 1), redis.call('HEXISTS', KEYS[1], 'orphans')}
