-- Which delivery does a platform's message id belong to? Both sides may come first.
-- KEYS: links bucket, early receipts of this id. ARGV: verb, digest, then a delivery id or a receipt.
-- While a delivery has parts that are not out yet its id is kept with a ~ ('part'): receipts wait for 'link'.
local known = redis.call('HGET', KEYS[1], ARGV[2])
if ARGV[1] == 'part' then
  redis.call('HSETNX', KEYS[1], ARGV[2], '~' .. ARGV[3])
  return ''
end
if ARGV[1] == 'link' then
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
  local early = redis.call('LRANGE', KEYS[2], 0, -1)
  return early
end
if not known or string.sub(known, 1, 1) == '~' then
  redis.call('RPUSH', KEYS[2], ARGV[3])
  redis.call('EXPIRE', KEYS[2], 259200)
  return ''
end
return known
