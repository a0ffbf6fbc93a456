-- Remember what a customer, or somebody for them, has said about being written to. A later word holds.
-- KEYS: the partition's log. ARGV: address record, field, the word as JSON, its time, then the
-- fields of the log entry.
-- Returns {1 if it is new, the word that holds, the last campaign that wrote to the address or ''}.
local base = string.sub(KEYS[1], 1, -4)
local key = base .. ARGV[1]
local old = redis.call('HGET', key, ARGV[2])
local campaign = redis.call('HGET', key, 'cg') or ''
if old and tonumber(cjson.decode(old).at) >= tonumber(ARGV[4]) then
  return {0, old, campaign}
end
redis.call('HSET', key, ARGV[2], ARGV[3])
redis.call('XADD', KEYS[1], '*', unpack(ARGV, 5))
return {1, ARGV[3], campaign}
