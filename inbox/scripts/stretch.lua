-- Read a stretch of a timeline.
-- KEYS: timeline. ARGV: the number that it ends before ("" = the end of the timeline), how many elements at most.
-- Returns the number of its first element and the elements, oldest first.
local length = redis.call('LLEN', KEYS[1])
local stop = math.min(tonumber(ARGV[1]) or length, length)
local start = math.max(0, stop - tonumber(ARGV[2]))
if stop == 0 then
  return {0, {}}
end
return {start, redis.call('LRANGE', KEYS[1], start, stop - 1)}
