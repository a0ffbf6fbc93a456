-- Copy a log with some entries replaced, and put the copy in its place. Positions, order and counts stay.
-- KEYS: log, its copy. ARGV: verb, then what it needs.
local verb = ARGV[1]
if verb == 'begin' then
  -- Returns how often the log was rewritten before; whoever ends must find the same number.
  redis.call('DEL', KEYS[2])
  return redis.call('GET', KEYS[1] .. ':rewritten') or '0'
end
-- after, how many, msgpack map of the new fields by position, seconds to keep the copy
local replaced = cmsgpack.unpack(ARGV[4])
local entries = redis.call('XRANGE', KEYS[1], ARGV[2] == '' and '-' or '(' .. ARGV[2], '+', 'COUNT', ARGV[3])
local last = ARGV[2]
for _, entry in ipairs(entries) do
  last = entry[1]
  redis.call('XADD', KEYS[2], last, unpack(replaced[last] or entry[2]))
end
redis.call('EXPIRE', KEYS[2], ARGV[5])
if verb == 'copy' or #entries == tonumber(ARGV[3]) then
  return {'more', last}
end
-- end: …, the number that begin gave. Nothing may have been lost or rewritten by somebody else meanwhile.
if (redis.call('GET', KEYS[1] .. ':rewritten') or '0') ~= ARGV[6]
  or redis.call('XLEN', KEYS[1]) ~= redis.call('XLEN', KEYS[2]) then
  redis.call('DEL', KEYS[2])
  return {'again', ''}
end
local facts = redis.call('XINFO', 'STREAM', KEYS[1])
local told = {}
for index = 1, #facts, 2 do
  told[facts[index]] = facts[index + 1]
end
redis.call('XSETID', KEYS[2], told['last-generated-id'], 'ENTRIESADDED', told['entries-added'],
  'MAXDELETEDID', told['max-deleted-entry-id'])
redis.call('PERSIST', KEYS[2])
redis.call('RENAME', KEYS[2], KEYS[1])
redis.call('INCR', KEYS[1] .. ':rewritten')
return {'done', last}
