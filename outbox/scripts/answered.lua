-- Take answers to an invitation: once per source, each question once, and only while it is open (staff: always).
-- KEYS: log. ARGV: a msgpack map: key, now, source, by, via, version, survey, answers {{question, JSON}…}, complete, flags,
-- seconds, mode, interviewer, staff, most, conv, log, mark
-- Returns {'taken', 1 if it is the first}, {'same'}, {'duplicate', number}, {'closed', state} or {'gone'}.
local base = string.sub(KEYS[1], 1, -4)
local given = cmsgpack.unpack(ARGV[1])
local invitation = base .. 'iv:' .. given.key
local response = base .. 'rsp:' .. given.key
local old = redis.call('HMGET', invitation, 'state', 'expires', 'x:' .. given.source)
local state = old[1]
if not state then
  return {'gone'}
end
if old[3] then
  return {'same'}
end
local known = redis.call('HMGET', response, 'complete', 'at')
local again = known[1] == '1'
for _, answer in ipairs(given.answers) do
  again = again or redis.call('HEXISTS', response, 'q:' .. answer[1]) == 1
end

local function write(name, flags, complete)
  local fields = {'survey', given.survey, 'at', given.now, 'via', given.via, 'version', given.version}
  redis.call('HSETNX', name, 'order', '')
  if redis.call('HEXISTS', name, 'at') == 0 then
    redis.call('HSET', name, unpack(fields))
    if given.mode ~= '' then
      redis.call('HSET', name, 'mode', given.mode)
    end
    if given.interviewer ~= '' then
      redis.call('HSET', name, 'interviewer', given.interviewer)
    end
  end
  local order = redis.call('HGET', name, 'order')
  for _, answer in ipairs(given.answers) do
    redis.call('HSET', name, 'q:' .. answer[1], answer[2])
    order = order == '' and answer[1] or (order .. ' ' .. answer[1])
  end
  redis.call('HSET', name, 'order', order, 'last', given.now, 'complete', complete)
  redis.call('HINCRBY', name, 'seconds', given.seconds)
  if flags ~= '' then
    redis.call('HSET', name, 'flags', flags)
  end
end

if again then
  -- what comes a second time is kept to be looked at, but not without end; it never counts
  local number = redis.call('HINCRBY', invitation, 'duplicates', 1)
  redis.call('HSET', invitation, 'x:' .. given.source, given.by)
  if number <= given.most then
    local name = given.key .. '-' .. number
    write(base .. 'rsp:' .. name, 'duplicate', '1')
    redis.call('ZADD', base .. 'rsps:' .. given.survey, given.now, name)
  end
  return {'duplicate', number}
end
if not given.staff and (not (state == 'sent' or state == 'answered') or tonumber(old[2]) <= tonumber(given.now)) then
  return {'closed', state}
end
local first = not known[2]
write(response, given.flags, given.complete)
redis.call('HSET', invitation, 'state', 'answered', 'x:' .. given.source, given.by)
redis.call('ZREM', base .. 'ivdue', 'send:' .. given.key, 'remind:' .. given.key)
if first then
  redis.call('ZADD', base .. 'rsps:' .. given.survey, given.now, given.key)
end
local entry = redis.call('XADD', KEYS[1], '*', unpack(given.log))
if given.conv ~= '' then
  redis.call('RPUSH', base .. 't:' .. given.conv, given.mark .. entry)
end
return {'taken', first and 1 or 0}
