-- What reports need to know of conversations, for many at once.
-- KEYS: log. ARGV: keys of conversations. Returns a JSON list of lists; conversations that are gone are left out.
local base = string.sub(KEYS[1], 1, -4)
local found = {}
for _, id in ipairs(ARGV) do
  local one = redis.call('HMGET', base .. 'c:' .. id, 'channel', 'team', 'agent', 'tags', 'stage', 'status', 'sla',
    'opened', 'replied', 'last_in', 'resolved', 'course')
  if one[1] then
    for place = 1, 12 do
      one[place] = one[place] or ''
    end
    found[#found + 1] = one
  end
end
if #found == 0 then
  return '[]'
end
return cjson.encode(found)
