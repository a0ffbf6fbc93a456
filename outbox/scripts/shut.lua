-- The platform says that a reply window is closed: use up what is left of it, unless the customer has opened another.
-- KEYS: address record. ARGV: field of its end, field of what is left, the end that was known when the request left, if
-- that was asked for.
-- Returns 1, or 0 if it ends at another time now.
if ARGV[3] and (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[3] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[2], '0')
return 1
