-- Use one message of a reply window, or give it back.
-- KEYS: address record. ARGV: field, -1 or 1. Returns 1, or 0 if nothing is left of it.
local left = redis.call('HGET', KEYS[1], ARGV[1])
if not left or left == '' then
  return 1
end
if ARGV[2] == '-1' and tonumber(left) <= 0 then
  return 0
end
redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[2])
return 1
