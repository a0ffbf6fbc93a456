-- Remember what a customer, or somebody for them, has said about being written to. A later word holds;
-- of one millisecond an opt-out, in whatever order they come.
-- KEYS: the partition's log. ARGV: address record, field, the word as JSON, its time, then the
-- fields of the log entry.
-- Returns {1 if it is new, the word that holds, the last campaign that wrote to the address or ''}.
local base = string.sub(KEYS[1], 1, -4)
local key = base .. ARGV[1]
local old = redis.call('HGET', key, ARGV[2])
local campaign = redis.call('HGET', key, 'cg') or ''
if old then
  local known, at = cjson.decode(old), tonumber(ARGV[4])
  local ends = known.state ~= 'opted_out' and cjson.decode(ARGV[3]).state == 'opted_out'
  if known.at > at or known.at == at and not ends then
    return {0, old, campaign}
  end
end
redis.call('HSET', key, ARGV[2], ARGV[3])
redis.call('XADD', KEYS[1], '*', unpack(ARGV, 5))
return {1, ARGV[3], campaign}
