-- Give waiting conversations to agents who may have them: by priority, then oldest first. Nobody is overtaken by who needs
-- the same, no capacity is exceeded, and who cannot be served now blocks nobody behind.
-- ARGV: a msgpack map: now, most (conversations at once), teams (see router/crews.py), join? (what a conversation asks for),
-- probe? (a waiting conversation: only say who could have it). Returns {1 if there may be more, conversation, team, agent,
-- reason (JSON), …} of those given now, and of *join* if it was given before; for a probe {reason}.
local ask = cmsgpack.unpack(ARGV[1])
local now = ask.now
local given = {0}
local there, busy = {}, {}

local function present(member)
  local name = member.n .. (member.on and '+' or '-') -- one team's shift may be on while another's is off
  if not there[name] then
    there[name] = state(member.n, member.on, now)
  end
  return there[name]
end

local function listed(names, name)
  for _, each in ipairs(names) do
    if each == name then
      return true
    end
  end
  return false
end

local function load(name)
  if not busy[name] then
    busy[name] = redis.call('ZCARD', key('has:' .. name))
  end
  return busy[name]
end

local function limited(member, wanted)
  if load(member.n) >= member.c then
    return 'full:' .. load(member.n) .. '/' .. member.c
  end
  for _, limit in ipairs(member.li) do
    if limit[1] == 'c:' .. wanted.ch or limit[1] == 'k:' .. wanted.k then
      local count = redis.call('SCARD', key('has:' .. member.n .. ':' .. limit[1]))
      if count >= limit[2] then
        return 'full:' .. string.sub(limit[1], 3) .. ' ' .. count .. '/' .. limit[2]
      end
    end
  end
end

-- Why a member cannot be asked at all, whatever they have to do; nil if they can.
local function unable(team, member, wanted)
  if present(member) ~= 'online' then
    return present(member)
  end
  for _, skill in ipairs(wanted.sk) do
    if not member.sk[skill] then
      return 'skill:' .. skill
    end
  end
  if team.la == 'require' and wanted.la ~= '' and not listed(member.la, wanted.la) then
    return 'language:' .. wanted.la
  end
end

-- Returns who may have it, and {name, verdict} of everybody else.
local function able(team, wanted)
  local found, others, another = {}, {}, false
  for _, member in ipairs(team.members) do
    local why = unable(team, member, wanted)
    if why then
      others[#others + 1] = {member.n, why}
    else
      found[#found + 1] = member
      another = another or not listed(wanted.av, member.n)
    end
  end
  local free = {}
  for _, member in ipairs(found) do
    local why = another and listed(wanted.av, member.n) and 'silent' or limited(member, wanted)
    if why then
      others[#others + 1] = {member.n, why}
    else
      free[#free + 1] = member
    end
  end
  return free, others
end

local function least(members, number)
  local best, lowest
  for _, member in ipairs(members) do
    local each = number(member)
    if not best or each[1] < lowest[1] or (each[1] == lowest[1] and each[2] < lowest[2]) then
      best, lowest = member, each
    end
  end
  return best
end

local function turn(hash, member)
  return tonumber(redis.call('HGET', key(hash), member.n) or '0')
end

-- Each as often as their weight, evenly spread: everybody gains their weight, who has most is chosen and pays for all.
local function by_weight(team, members)
  local best, most, sum = nil, 0, 0
  for _, member in ipairs(members) do
    local credit = redis.call('HINCRBY', key('share:' .. team.name), member.n, member.w)
    sum = sum + member.w
    if not best or credit > most then
      best, most = member, credit
    end
  end
  redis.call('HINCRBY', key('share:' .. team.name), best.n, -sum)
  return best
end

local function by_strategy(team, members)
  if team.strategy == 'weighted' then
    return by_weight(team, members)
  elseif team.strategy == 'round-robin' then
    return least(members, function(member) return {turn('turn:' .. team.name, member), 0} end)
  end
  return least(members, function(member) return {load(member.n), turn('last', member)} end)
end

local function among(members, name)
  for _, member in ipairs(members) do
    if member.n == name then
      return member
    end
  end
end

-- Returns who gets it and how they were chosen, and who else was considered.
local function choose(team, wanted)
  local free, others = able(team, wanted)
  if #free == 0 then
    return nil, nil, others
  end
  local chosen, how = nil, ''
  local back = wanted.back and among(free, wanted.back)
  local known = not back and team.sticky > 0 and wanted.co ~= '' and redis.call('GET', key('with:' .. wanted.co))
  if back then
    chosen, how = back, 'back'
  elseif known then
    local name, at = string.match(known, '^(%S+) (%d+)$')
    chosen = tonumber(at) + team.sticky > now and among(free, name) or nil
    how = chosen and 'sticky' or ''
  end
  if not chosen then
    local asked = free
    if team.la == 'prefer' and wanted.la ~= '' then
      local speakers = {}
      for _, member in ipairs(free) do
        if listed(member.la, wanted.la) then
          speakers[#speakers + 1] = member
        end
      end
      if #speakers > 0 and #speakers < #free then
        asked, how = speakers, 'language:' .. wanted.la
      end
    end
    chosen = by_strategy(team, asked)
  end
  for _, member in ipairs(free) do
    if member.n ~= chosen.n then
      others[#others + 1] = {member.n, 'room:' .. load(member.n) .. '/' .. member.c}
    end
  end
  return chosen, how, others
end

local function join(wanted)
  local agent = redis.call('HGET', key('of'), wanted.id)
  if agent then
    local story = redis.call('HGET', key('handoff'), wanted.id)
    local reason = story and string.match(story, '^%S+ %S+ %S+ (.*)$')
    given = {0, wanted.id, wanted.t, agent, reason or ''}
    return
  end
  local old = stored(wanted.id)
  wanted.av = old and old.av or {}
  if wanted.avoid and not listed(wanted.av, wanted.avoid) then
    wanted.av[#wanted.av + 1] = wanted.avoid
  end
  wanted.s = old and old.s or wanted.s
  wanted.seen = old and old.seen or {}
  local since = old and old.t == wanted.t and old.j or now
  if old and old.t ~= wanted.t and old.j then
    wanted.seen[#wanted.seen + 1] = old.t
  end
  leave(wanted.id, old)
  wanted.j, wanted.ln = since, needs(wanted)
  local rank = text((3 - wanted.p) * LANE + wanted.s)
  redis.call('ZADD', key('wait:' .. wanted.t), rank, wanted.id)
  redis.call('ZADD', key('lane:' .. wanted.t .. ':' .. wanted.ln), rank, wanted.id)
  redis.call('SADD', key('lanes:' .. wanted.t), wanted.ln)
  store(wanted.id, wanted)
  local team = ask.teams[1]
  if team.over > 0 and not listed(wanted.seen, team.to) then
    redis.call('ZADD', key('due'), text(since + team.over), 'o ' .. wanted.id)
  end
end

local function reason(team, wanted, chosen, how, others)
  local rest = {}
  for index = 1, math.min(#others, 12) do
    rest[index] = others[index]
  end
  return cjson.encode({
    agent = chosen and chosen.n or '', strategy = team.strategy, how = how or '', waited = math.max(0, now - (wanted.s or now)),
    load = chosen and (load(chosen.n) + 1) .. '/' .. chosen.c or '', others = rest, more = #others - #rest,
  })
end

local function hand(team, conversation, wanted, chosen, how, others)
  local story = reason(team, wanted, chosen, how, others)
  local names = {}
  for _, member in ipairs(team.members) do
    names[#names + 1] = present(member) == 'online' and member.n or nil
  end
  leave(conversation, wanted)
  wanted.back = nil
  store(conversation, wanted)
  give(conversation, chosen.n, wanted, now, team.silent)
  busy[chosen.n] = load(chosen.n) + 1
  redis.call('HSET', key('turn:' .. team.name), chosen.n, redis.call('HGET', key('last'), chosen.n))
  attach(wanted, chosen.n, now, team.sticky)
  note(conversation, chosen.n, wanted, now, 'hub', table.concat(names, ' '))
  redis.call('HSET', key('handoff'), conversation, team.name .. ' ' .. text(now) .. ' ' .. chosen.n .. ' ' .. story)
  for _, word in ipairs({conversation, team.name, chosen.n, story}) do
    given[#given + 1] = word
  end
end

-- The lanes with somebody in them, each with its oldest.
local function first(lane)
  local oldest = redis.call('ZRANGE', lane.key, 0, 0, 'WITHSCORES')
  lane.id, lane.rank = oldest[1], tonumber(oldest[2])
  return lane.id and lane
end

local function drain()
  local lanes = {}
  for _, team in ipairs(ask.teams) do
    for _, name in ipairs(redis.call('SMEMBERS', key('lanes:' .. team.name))) do
      lanes[#lanes + 1] = first({team = team, key = key('lane:' .. team.name .. ':' .. name)}) or nil
    end
  end
  local count = 0
  while #lanes > 0 do
    local at = 1
    for index = 2, #lanes do
      local one, best = lanes[index], lanes[at]
      if one.rank < best.rank or (one.rank == best.rank and one.id < best.id) then
        at = index
      end
    end
    local lane = lanes[at]
    local wanted = stored(lane.id)
    local chosen, how, others = choose(lane.team, wanted)
    if chosen then
      hand(lane.team, lane.id, wanted, chosen, how, others)
      count = count + 1
      if count >= ask.most then
        given[1] = 1
        return
      end
    end
    -- Room only shrinks meanwhile: where the oldest cannot be served, nobody behind who needs the same can.
    if not chosen or not first(lane) then
      table.remove(lanes, at)
    end
  end
end

if ask.probe then
  local wanted = stored(ask.probe)
  if not wanted then
    return {''}
  end
  local free, others = able(ask.teams[1], wanted)
  for _, member in ipairs(free) do
    others[#others + 1] = {member.n, 'room:' .. load(member.n) .. '/' .. member.c}
  end
  return {reason(ask.teams[1], wanted, nil, '', others)}
end
if ask.join then
  join(ask.join)
end
drain()
return given
