-- Look which of some files part of a log still needs. KEYS: log.
-- ARGV: after, how many, then hashes of files. Returns {last position or '', hashes that are there…}.
local base = string.sub(KEYS[1], 1, -4)
local entries = redis.call('XRANGE', KEYS[1], ARGV[1] == '' and '-' or '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
local found = {#entries == tonumber(ARGV[2]) and entries[#entries][1] or ''}
local texts = {}
for _, entry in ipairs(entries) do
  local fields = entry[2]
  for index = 1, #fields, 2 do
    if fields[index] == 'b' and string.find(fields[index + 1], '"media"', 1, true) then
      texts[#texts + 1] = fields[index + 1]
      for _, fetched in ipairs(redis.call('HVALS', base .. 'f:' .. entry[1])) do
        texts[#texts + 1] = fetched
      end
    end
  end
end
local whole = table.concat(texts, '\n')
for index = 3, #ARGV do
  if string.find(whole, ARGV[index], 1, true) then
    found[#found + 1] = ARGV[index]
  end
end
return found
