-- Give out incentive codes, each once, one for each invitation.
-- KEYS: codes that are free (list), all that were ever taken in (set), those given out by invitation (hash).
-- ARGV: 'add', codes…; 'give', invitation; or 'keep', invitation, code. Returns the code, '' if there is none.
if ARGV[1] == 'add' then
  for index = 2, #ARGV do
    if redis.call('SADD', KEYS[2], ARGV[index]) == 1 then
      redis.call('RPUSH', KEYS[1], ARGV[index])
    end
  end
  return ''
end
local known = redis.call('HGET', KEYS[3], ARGV[2])
if known then
  return known
end
local code = ARGV[3] or redis.call('LPOP', KEYS[1])
if not code then
  return ''
end
redis.call('HSET', KEYS[3], ARGV[2], code)
return code
