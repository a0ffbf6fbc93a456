-- Take a partition over, if it still belongs to whom the caller believes.
-- KEYS: lease. ARGV: the owner that was seen ('' = nobody), the new owner ('' = give up).
-- Returns the new epoch, the fencing token; 0 if somebody else was faster.
local owner = redis.call('HGET', KEYS[1], 'owner') or ''
if owner ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'owner', ARGV[2])
return redis.call('HINCRBY', KEYS[1], 'epoch', 1)
