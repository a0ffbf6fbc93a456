-- Give waiting conversations to agents with room, oldest first: nobody is overtaken, no capacity is exceeded.
-- KEYS: any key of the slot. ARGV: a msgpack map: team, strategy, members {{agent, capacity}…}, now, join? {conversation, since}.
-- Returns conversation, agent, conversation, agent, … of those given now, and of *join* if it was given before.
local base = string.match(KEYS[1], '^(.*}:)')
local ask = cmsgpack.unpack(ARGV[1])
local of, load, last, handoff = base .. 'of', base .. 'load', base .. 'last', base .. 'handoff'
local waiting = base .. 'wait:' .. ask.team
local given = {}

if ask.join then
  local agent = redis.call('HGET', of, ask.join[1])
  if agent then
    given = {ask.join[1], agent}
  else
    redis.call('ZADD', waiting, 'NX', ask.join[2], ask.join[1])
  end
end

local function room(member)
  return tonumber(redis.call('HGET', load, member[1]) or '0') < member[2]
end

local function least_busy()
  local best, best_load, best_last
  for _, member in ipairs(ask.members) do
    if room(member) then
      local busy = tonumber(redis.call('HGET', load, member[1]) or '0')
      local since = tonumber(redis.call('HGET', last, member[1]) or '0')
      if not best or busy < best_load or (busy == best_load and since < best_last) then
        best, best_load, best_last = member[1], busy, since
      end
    end
  end
  return best
end

local function round_robin()
  local turn = tonumber(redis.call('HGET', base .. 'turn', ask.team) or '0')
  local count = #ask.members
  for step = 1, count do
    local index = (turn + step - 1) % count + 1
    if room(ask.members[index]) then
      redis.call('HSET', base .. 'turn', ask.team, index)
      return ask.members[index][1]
    end
  end
end

while true do
  local oldest = redis.call('ZRANGE', waiting, 0, 0)[1]
  if not oldest then
    break
  end
  local agent
  if ask.strategy == 'round-robin' then
    agent = round_robin()
  else
    agent = least_busy()
  end
  if not agent then
    break
  end
  redis.call('ZREM', waiting, oldest)
  redis.call('HSET', of, oldest, agent)
  redis.call('HINCRBY', load, agent, 1)
  redis.call('HSET', last, agent, redis.call('INCR', base .. 'clock'))
  redis.call('HSET', handoff, oldest, ask.team .. ' ' .. ask.now .. ' ' .. agent)
  given[#given + 1] = oldest
  given[#given + 1] = agent
end
return given
