-- Remove the record of an address if nothing of it was placed since the caller looked.
-- KEYS: the record. ARGV: the position that was placed last, '' for none. Returns 1, or 0 if it was not so.
if (redis.call('HGET', KEYS[1], 'placed') or '') ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
return 1
