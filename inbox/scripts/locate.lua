-- Look up an address, the conversation that it last had on a channel, and what is known of its contact; changes nothing.
-- KEYS: the address's record. ARGV: the field of the record that names the conversation, then the fields of the contact
-- that are asked for. Returns {record, conversation, contact}: flat lists of fields and values, and the values of the
-- contact's fields; the last two are empty if there is none, or it is in another partition.
local record = redis.call('HGETALL', KEYS[1])
local base, partition = string.match(KEYS[1], '^(.*{(%d+)}:)')
local conversation, contact = {}, {}
for index = 1, #record, 2 do
  if record[index] == ARGV[1] then
    local home, key = string.match(record[index + 1], '^c(%d+)-(.+)$')
    if home == partition then
      conversation = redis.call('HGETALL', base .. 'c:' .. key)
    end
  elseif record[index] == 'contact' then
    local home, key = string.match(record[index + 1], '^k(%d+)-(.+)$')
    if home == partition then
      contact = redis.call('HMGET', base .. 'k:' .. key, unpack(ARGV, 2))
    end
  end
end
return {record, conversation, contact}
