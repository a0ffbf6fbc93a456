-- Add to the common counts what a process has counted since it last said so. Saying it twice changes nothing.
-- KEYS: common counts, what this process has said. ARGV: name, count so far, name, count so far, …
for index = 1, #ARGV, 2 do
  local said = tonumber(redis.call('HGET', KEYS[2], ARGV[index]) or '0')
  local new = tonumber(ARGV[index + 1]) - said
  if new ~= 0 then
    redis.call('HINCRBY', KEYS[1], ARGV[index], new)
    redis.call('HSET', KEYS[2], ARGV[index], ARGV[index + 1])
  end
end
redis.call('EXPIRE', KEYS[2], 604800)
return 1
