-- Look for contacts of a name among some of a partition, by their scores. KEYS: the list of its contacts.
-- ARGV: name, score from which to look, how many. Returns {where to go on ('' = the end), keys of those of that name…}.
local base = string.sub(KEYS[1], 1, -9)
local page = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[2], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
local last = #page / 2 == tonumber(ARGV[3]) and page[#page]
local keys = {}
for index = 1, #page, 2 do
  if page[index + 1] ~= last then
    keys[#keys + 1] = page[index]
  end
end
if last then -- all of one score at once, however many they are
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], last, last)) do
    keys[#keys + 1] = key
  end
end
local found = {last and '(' .. last or ''}
for _, key in ipairs(keys) do
  if redis.call('HGET', base .. 'k:' .. key, 'name') == ARGV[1] then
    found[#found + 1] = key
  end
end
return found
