-- The audit log. What has begun stands in a hash until it is over, so that a process that dies in between leaves a trace.
-- KEYS: the log (a stream), what has begun. ARGV: verb, then what it needs.
if ARGV[1] == 'begin' then
  return redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
end
-- end: id, entry ("" = nothing was changed), the oldest position that is kept
if redis.call('HDEL', KEYS[2], ARGV[2]) == 0 or ARGV[3] == '' then
  return ''
end
return redis.call('XADD', KEYS[1], 'MINID', '~', ARGV[4], '*', 'e', ARGV[3])
