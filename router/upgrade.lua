-- Take over what version 0.1 stored: loads were counted, now they are lists of conversations. ARGV: now (ms).
if redis.call('EXISTS', key('load')) == 1 then
  local owned = redis.call('HGETALL', key('of'))
  for index = 1, #owned, 2 do
    redis.call('ZADD', key('has:' .. owned[index + 1]), ARGV[1], owned[index])
  end
  redis.call('DEL', key('load'), key('turn'))
end
