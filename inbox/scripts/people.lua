-- Who may come in: sessions, sign-in attempts and the pace of calls. Everything of people shares one slot.
-- KEYS: the stem of all their keys. ARGV: verb, then what it needs; times are in milliseconds.
local stem, verb = KEYS[1], ARGV[1]

-- The generic cell rate algorithm: returns how long to wait (0 = go on) and how many more may come at once. All
-- processes share the pace, so the time is the store's; where that has gone back, nobody waits longer than for all turns.
local function turn(name, gap, burst, count)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + time[2] / 1000
  local free = math.min(tonumber(redis.call('GET', name) or '0'), now + gap * burst)
  free = math.max(free, now) + gap * count
  local early = free - burst * gap - now
  if early > 0 then
    return math.ceil(early), 0
  end
  redis.call('SET', name, string.format('%.3f', free), 'PX', math.ceil(free - now) + 1000)
  return 0, math.floor(-early / gap + 0.001)
end

local function forget(session)
  local person = redis.call('HGET', stem .. 's:' .. session, 'person')
  if person then
    redis.call('SREM', stem .. 'ss:' .. person, session)
  end
  return redis.call('DEL', stem .. 's:' .. session)
end

if verb == 'turn' then
  -- name, gap, burst, how many are taken
  local wait, left = turn(stem .. 't:' .. ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]))
  return {wait, left}
end
if verb == 'enter' then
  -- session, person, how long it lives, then its fields
  if redis.call('HGET', stem .. 'p:' .. ARGV[3], 'role') == false then
    return 0
  end
  redis.call('HSET', stem .. 's:' .. ARGV[2], 'person', ARGV[3], unpack(ARGV, 5))
  redis.call('PEXPIRE', stem .. 's:' .. ARGV[2], ARGV[4])
  redis.call('SADD', stem .. 'ss:' .. ARGV[3], ARGV[2])
  return 1
end
if verb == 'check' then
  -- session, now, idle, how seldom to write down that it was used
  local name = stem .. 's:' .. ARGV[2]
  local session = redis.call('HGETALL', name)
  if #session == 0 then
    return {}
  end
  local facts = {}
  for index = 1, #session, 2 do
    facts[session[index]] = session[index + 1]
  end
  local now, idle = tonumber(ARGV[3]), tonumber(ARGV[4])
  local left = math.min(tonumber(facts.seen) + idle, tonumber(facts['until'])) - now
  local person = redis.call('HGETALL', stem .. 'p:' .. facts.person)
  if left <= 0 or #person == 0 or redis.call('HGET', stem .. 'p:' .. facts.person, 'disabled') == '1' then
    forget(ARGV[2])
    return {}
  end
  if now - tonumber(facts.seen) >= tonumber(ARGV[5]) then
    redis.call('HSET', name, 'seen', ARGV[3])
    redis.call('PEXPIRE', name, math.max(1, math.min(idle, tonumber(facts['until']) - now)))
  end
  return {session, person}
end
if verb == 'leave' then
  return forget(ARGV[2])
end
if verb == 'revoke' then
  -- person, the session that stays ("" = none)
  local gone = 0
  for _, session in ipairs(redis.call('SMEMBERS', stem .. 'ss:' .. ARGV[2])) do
    if session ~= ARGV[3] then
      gone = gone + forget(session)
      redis.call('SREM', stem .. 'ss:' .. ARGV[2], session)
    end
  end
  return gone
end
if verb == 'add' then
  -- person, then fields; 0 if there is one of that name
  if redis.call('SADD', stem .. 'names', ARGV[2]) == 0 then
    return 0
  end
  redis.call('HSET', stem .. 'p:' .. ARGV[2], unpack(ARGV, 3))
  return 1
end
if verb == 'set' then
  -- person, then fields ("" takes one back); 0 if there is nobody of that name
  local name = stem .. 'p:' .. ARGV[2]
  if redis.call('EXISTS', name) == 0 then
    return 0
  end
  for index = 3, #ARGV, 2 do
    if ARGV[index + 1] == '' then
      redis.call('HDEL', name, ARGV[index])
    else
      redis.call('HSET', name, ARGV[index], ARGV[index + 1])
    end
  end
  return 1
end
if verb == 'step' then
  -- person, step: a code of the second factor counts once, and never an older one after it
  local name = stem .. 'p:' .. ARGV[2]
  if tonumber(redis.call('HGET', name, 'totp_step') or '-1') >= tonumber(ARGV[3]) then
    return 0
  end
  redis.call('HSET', name, 'totp_step', ARGV[3])
  return 1
end
-- drop: person
for _, session in ipairs(redis.call('SMEMBERS', stem .. 'ss:' .. ARGV[2])) do
  forget(session)
end
redis.call('DEL', stem .. 'ss:' .. ARGV[2], stem .. 'rc:' .. ARGV[2])
redis.call('SREM', stem .. 'names', ARGV[2])
return redis.call('DEL', stem .. 'p:' .. ARGV[2])
