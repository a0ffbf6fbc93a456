-- Move a reader's position, if the caller still owns the partition.
-- KEYS: lease, positions. ARGV: epoch, reader, log position. Returns 1, or 0 if the partition was lost.
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
return 1
