-- Remember that a part is out, so that no later attempt sends it again; an attempt that was overtaken says nothing.
-- KEYS: due set. ARGV: delivery key, attempt, parts that are out, their platform ids. Returns 1, or 0 if it was overtaken.
local key = string.sub(KEYS[1], 1, -4) .. 'd:' .. ARGV[1]
if redis.call('HGET', key, 'attempts') ~= ARGV[2] then
  return 0
end
redis.call('HSET', key, 'part', ARGV[3], 'left', '0', 'ext', ARGV[4])
return 1
