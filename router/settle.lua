-- Something due has been looked at. ARGV: what, the time it was due then, when it is due again ('' = never).
-- What has become due anew meanwhile stays as it is.
local at = redis.call('ZSCORE', key('due'), ARGV[1])
if at and tonumber(at) == tonumber(ARGV[2]) then
  if ARGV[3] == '' then
    redis.call('ZREM', key('due'), ARGV[1])
  else
    redis.call('ZADD', key('due'), ARGV[3], ARGV[1])
  end
end
