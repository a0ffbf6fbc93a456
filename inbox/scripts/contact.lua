-- Change a contact if it is as the caller saw it, in one step with what hangs on it.
-- KEYS: the partition's log. ARGV: a msgpack map: key, expect {{field, value or '' for none}…}, set, unset, log,
-- mark {sorted set, score}, unmark {sorted sets}, drop (the contact goes). Returns 1, or 0 if it is not so, or there is no such contact.
local base = string.sub(KEYS[1], 1, -4)
local change = cmsgpack.unpack(ARGV[1])
local key = base .. 'k:' .. change.key
if redis.call('EXISTS', key) == 0 then
  return 0
end
for _, one in ipairs(change.expect or {}) do
  if (redis.call('HGET', key, one[1]) or '') ~= one[2] then
    return 0
  end
end
if change.unset then
  redis.call('HDEL', key, unpack(change.unset))
end
if change.set then
  redis.call('HSET', key, unpack(change.set))
end
redis.call('HINCRBY', key, 'v', 1)
if change.log then
  redis.call('XADD', KEYS[1], '*', unpack(change.log))
end
if change.mark then
  redis.call('ZADD', base .. change.mark[1], change.mark[2], change.key)
end
for _, name in ipairs(change.unmark or {}) do
  redis.call('ZREM', base .. name, change.key)
end
if change.drop then
  redis.call('DEL', key)
end
return 1
