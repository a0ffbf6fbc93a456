-- Follow an address back through all conversations that it ever had, on every channel: from the one that was opened
-- last, and from the one with the latest message, which may be an earlier one.
-- KEYS: the address's record. ARGV: how many at most.
-- Returns by turns the key of a conversation, when it had its last message, its team, and the last element of its timeline.
local base, partition = string.match(KEYS[1], '^(.*{(%d+)}:)')
local record = redis.call('HGETALL', KEYS[1])
local found, seen = {}, {}
for index = 1, #record, 2 do
  local kind = string.match(record[index], '^(%a+):')
  local name = (kind == 'opened' or kind == 'conv') and record[index + 1] or ''
  while name ~= '' and not seen[name] and #found < 4 * tonumber(ARGV[1]) do
    seen[name] = true
    local home, key = string.match(name, '^c(%d+)-(.+)$')
    if home ~= partition then
      break
    end
    local one = redis.call('HMGET', base .. 'c:' .. key, 'last', 'team', 'before', 'address')
    if not one[1] then
      break
    end
    -- A colleague's mail stands in the conversation of another address; that one is not theirs.
    if base .. 'a:' .. (one[4] or '') == KEYS[1] then
      for _, value in ipairs({key, one[1], one[2] or '', redis.call('LINDEX', base .. 't:' .. key, -1) or ''}) do
        found[#found + 1] = value
      end
    end
    name = one[3] or ''
  end
end
return found
