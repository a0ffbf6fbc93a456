-- Move an invitation on, in one step with what hangs on it, if it is where the caller believes it to be.
-- KEYS: log. ARGV: a msgpack map: key, expect (states), set, marks {{set, score, member}…}, unmarks {{set, member}…}
-- Returns the state that it was in, or '' if there is no such invitation; it has moved on if that is one of *expect*.
local base = string.sub(KEYS[1], 1, -4)
local step = cmsgpack.unpack(ARGV[1])
local key = base .. 'iv:' .. step.key
local state = redis.call('HGET', key, 'state')
if not state then
  return ''
end
local fits = false
for _, one in ipairs(step.expect) do
  fits = fits or one == state
end
if not fits then
  return state
end
if #step.set > 0 then
  redis.call('HSET', key, unpack(step.set))
end
for _, one in ipairs(step.marks or {}) do
  redis.call('ZADD', base .. one[1], one[2], one[3])
end
for _, one in ipairs(step.unmarks or {}) do
  redis.call('ZREM', base .. one[1], one[2])
end
return state
