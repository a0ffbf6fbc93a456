-- Keep a rule set, and note that it was loaded unless it is the one that was loaded last.
-- KEYS: loads (stream), the set, all sets by time, who asked for a set. ARGV: short hash, hash, packed set, time,
-- who loaded it, how, most sets, most bytes. Returns 1 if it was noted.
local short, hash = ARGV[1], ARGV[2]
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('SET', KEYS[2], ARGV[3])
end
redis.call('ZADD', KEYS[3], ARGV[4], short)
local base = string.sub(KEYS[2], 1, -#short - 1)
local names = redis.call('ZREVRANGE', KEYS[3], 0, -1)
local bytes = 0
for index, name in ipairs(names) do
  bytes = bytes + redis.call('STRLEN', base .. name)
  if name ~= short and (index > tonumber(ARGV[7]) or bytes > tonumber(ARGV[8])) then
    redis.call('DEL', base .. name)
    redis.call('ZREM', KEYS[3], name)
  end
end
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if last and last[2][2] == hash then
  return 0
end
local who, how = ARGV[5], ARGV[6]
local asked = redis.call('HGET', KEYS[4], short)
if asked then
  who, how = asked, 'rollback'
  redis.call('HDEL', KEYS[4], short)
end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', 10000, '*', 'hash', hash, 'at', ARGV[4], 'by', who, 'how', how)
return 1
