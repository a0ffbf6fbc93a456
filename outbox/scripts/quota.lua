-- Take a place in every quota that an invitation counts in, or in none. KEYS: a set of invitations for each quota.
-- ARGV: 'take', invitation, then for each quota how many it allows; or 'give', invitation.
-- Returns 0 if all had room, else the number of the first that is full.
if ARGV[1] == 'give' then
  for _, name in ipairs(KEYS) do
    redis.call('SREM', name, ARGV[2])
  end
  return 0
end
for index, name in ipairs(KEYS) do
  if redis.call('SISMEMBER', name, ARGV[2]) == 0 and redis.call('SCARD', name) >= tonumber(ARGV[index + 2]) then
    return index
  end
end
for _, name in ipairs(KEYS) do
  redis.call('SADD', name, ARGV[2])
end
return 0
