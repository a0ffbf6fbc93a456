-- An answer that is given once for one idempotency key.
-- KEYS: its record. ARGV: verb, then what it needs; times are in milliseconds.
local verb = ARGV[1]
if verb == 'begin' then
  -- fingerprint, who works on it, how long that may take
  local known = redis.call('HMGET', KEYS[1], 'print', 'answer')
  if not known[1] then
    redis.call('HSET', KEYS[1], 'print', ARGV[2], 'by', ARGV[3])
    redis.call('PEXPIRE', KEYS[1], ARGV[4])
    return {'go'}
  end
  if known[1] ~= ARGV[2] then
    return {'other'}
  end
  return known[2] and {'done', known[2]} or {'wait'}
end
if redis.call('HGET', KEYS[1], 'by') ~= ARGV[2] then
  return 0
end
if verb == 'keep' then
  -- who, answer, how long
  redis.call('HSET', KEYS[1], 'answer', ARGV[3])
  return redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
if verb == 'prolong' then
  return redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return redis.call('DEL', KEYS[1])
