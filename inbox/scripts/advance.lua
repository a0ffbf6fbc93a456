-- Move the readers' positions, if the caller still owns the partition.
-- KEYS: lease, positions. ARGV: epoch, then reader, log position, … Returns 1, or 0 if the partition was lost.
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[2], unpack(ARGV, 2))
return 1
