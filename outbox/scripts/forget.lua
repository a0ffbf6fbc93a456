-- Delete a field of a hash if it holds what the caller believes. KEYS: the hash. ARGV: field, value.
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
  return redis.call('HDEL', KEYS[1], ARGV[1])
end
return 0
