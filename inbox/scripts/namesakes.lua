-- Look for contacts of a name among some of a partition. KEYS: the list of its contacts.
-- ARGV: name, place of the first to look at, how many. Returns {how many there were, keys of those of that name…}.
local base = string.sub(KEYS[1], 1, -9)
local keys = redis.call('ZRANGE', KEYS[1], ARGV[2], ARGV[2] + ARGV[3] - 1)
local found = {#keys}
for _, key in ipairs(keys) do
  if redis.call('HGET', base .. 'k:' .. key, 'name') == ARGV[1] then
    found[#found + 1] = key
  end
end
return found
