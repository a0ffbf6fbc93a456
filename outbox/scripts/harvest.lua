-- Invitations with the responses to them and the state of what carried them, for many at once.
-- KEYS: log. ARGV: the partition, how many second responses may be kept, then keys of invitations.
-- Returns a JSON list of {key, body, {fields}, state of the delivery or '?' if it lies elsewhere, {{key, {fields}}…}}.
local base = string.sub(KEYS[1], 1, -4)
local here = 'd' .. ARGV[1] .. '-'
local found = {}
for place = 3, #ARGV do
  local id = ARGV[place]
  local one = redis.call('HMGET', base .. 'iv:' .. id, 'b', 'state', 'sent', 'reminded', 'expires', 'reason', 'delivery', 'duplicates')
  if one[1] then
    for number = 2, 8 do
      one[number] = one[number] or ''
    end
    local delivery = ''
    if one[7] ~= '' then
      delivery = '?'
      if string.sub(one[7], 1, #here) == here then
        delivery = redis.call('HGET', base .. 'd:' .. string.sub(one[7], #here + 1), 'state') or ''
      end
    end
    local responses = {}
    local names = {id}
    for number = 1, math.min(tonumber(one[8]) or 0, tonumber(ARGV[2])) do
      names[#names + 1] = id .. '-' .. number
    end
    for _, name in ipairs(names) do
      local fields = redis.call('HGETALL', base .. 'rsp:' .. name)
      if #fields > 0 then
        responses[#responses + 1] = name
        responses[#responses + 1] = fields
      end
    end
    if #responses == 0 then
      responses = ''
    end
    found[#found + 1] = {id, one[1], one[2], one[3], one[4], one[5], one[6], one[7], delivery, responses}
  end
end
if #found == 0 then
  return '[]'
end
return cjson.encode(found)
