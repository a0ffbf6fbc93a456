-- Counts what stands in part of a partition's log: messages by channel and by who wrote them, outcomes of deliveries.
-- KEYS: log. ARGV: first position, last position, how many entries at most.
-- Returns {position of the last entry or '', how many there were, then word and count by turns}.
local base = string.sub(KEYS[1], 1, -4)
local counts, order = {}, {}
local function count(word)
  if counts[word] then
    counts[word] = counts[word] + 1
  else
    counts[word] = 1
    order[#order + 1] = word
  end
end
local entries = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[2], 'COUNT', ARGV[3])
local last = ''
for _, entry in ipairs(entries) do
  last = entry[1]
  local flat, fields = entry[2], {}
  for place = 1, #flat, 2 do
    fields[flat[place]] = flat[place + 1]
  end
  local kind = fields.t
  if kind == 'e' then
    count('in ' .. (fields.ch or ''))
  elseif kind == 'l' then
    count('auto ' .. (fields.ch or ''))
  elseif kind == 'o' then
    local person = string.find(fields.au or '', '"kind":"agent"', 1, true)
    count((person and 'out ' or 'auto ') .. (fields.ch or ''))
  elseif kind == 'v' and fields.d and fields.st then
    local channel = redis.call('HGET', base .. 'd:' .. fields.d, 'channel')
    if channel then
      count(fields.st .. ' ' .. channel)
    end
  end
end
local reply = {last, #entries}
for _, word in ipairs(order) do
  reply[#reply + 1] = word
  reply[#reply + 1] = counts[word]
end
return reply
