-- Look up an address and the conversation that it last had on a channel; changes nothing.
-- KEYS: the address's record. ARGV: the field of the record that names the conversation.
-- Returns {record, conversation}, each a flat list of fields and values, empty if there is none in this partition.
local record = redis.call('HGETALL', KEYS[1])
local base, partition = string.match(KEYS[1], '^(.*{(%d+)}:)')
for index = 1, #record, 2 do
  if record[index] == ARGV[1] then
    local home, key = string.match(record[index + 1], '^c(%d+)-(.+)$')
    if home == partition then
      return {record, redis.call('HGETALL', base .. 'c:' .. key)}
    end
  end
end
return {record, {}}
