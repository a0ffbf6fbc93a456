-- Note when the clocks of conversations are to be looked at next, of each only if it is as it was when it was read.
-- KEYS: the partition's log. ARGV: epoch, then for each conversation its key, version, next time ('' = no more),
-- what has been told of its clocks ('' = as before), and its place among the late ones ('' = it is not late). Returns the keys of those that were noted, nothing at all if
-- the partition was lost.
local base = string.sub(KEYS[1], 1, -4)
if redis.call('HGET', base .. 'lease', 'epoch') ~= ARGV[1] then
  return false
end
local noted = {}
for index = 2, #ARGV, 5 do
  local key = base .. 'c:' .. ARGV[index]
  if (redis.call('HGET', key, 'version') or '0') == ARGV[index + 1] then
    if ARGV[index + 3] ~= '' then
      redis.call('HSET', key, 'told', ARGV[index + 3])
    end
    if ARGV[index + 2] == '' then
      redis.call('ZREM', base .. 'clocks', ARGV[index])
    else
      redis.call('ZADD', base .. 'clocks', ARGV[index + 2], ARGV[index])
    end
    if ARGV[index + 4] == '' then
      redis.call('ZREM', base .. 'late', ARGV[index])
    else
      redis.call('ZADD', base .. 'late', ARGV[index + 4], ARGV[index])
    end
    noted[#noted + 1] = ARGV[index]
  end
end
return noted
