-- What the scripts of assignment share: who has what, who waits where, and who is there.
-- of: conversation -> agent · has:<agent> (score: since when) · has:<agent>:<c:channel or k:kind>
-- ask: conversation -> what it needs, and at: the log position that gave it to its agent (msgpack)
-- wait:<team> and lane:<team>:<needs>, by rank · lanes:<team>: its needs
-- due: "s <conversation>" the agent is silent, "o <conversation>" overflow, "p <agent>" a presence ends
-- presence: agent -> what was said (JSON) · last, turn:<team>, share:<team>: whose turn it is · with:<contact>: last agent
-- handoff: conversation -> "team at agent reason" while the conversation has not been told · given: stream of assignments
-- there: team -> who was there at its last assignment · told: team -> how often it assigned
local base = string.match(KEYS[1], '^(.*}:)')
local LANE = 4398046511104 -- 2^42 ms, later than any time of ours: one lane for each priority
local KEPT = 100000

local function key(name)
  return base .. name
end

local function text(number)
  return string.format('%.0f', number)
end

local function stored(conversation)
  local packed = redis.call('HGET', key('ask'), conversation)
  return packed and cmsgpack.unpack(packed)
end

local function store(conversation, ask)
  redis.call('HSET', key('ask'), conversation, cmsgpack.pack(ask))
end

-- Whether a log position is later than another one of the same log.
local function after(one, other)
  local ms1, seq1 = string.match(one, '^(%d+)-(%d+)$')
  local ms2, seq2 = string.match(other, '^(%d+)-(%d+)$')
  ms1, seq1, ms2, seq2 = tonumber(ms1), tonumber(seq1), tonumber(ms2), tonumber(seq2)
  return ms1 > ms2 or (ms1 == ms2 and seq1 > seq2)
end

local function needs(ask)
  return table.concat({ask.ch, ask.la, table.concat(ask.sk, '+'), table.concat(ask.av, '+')}, '|')
end

-- A conversation leaves the queue that it stands in, if it does.
local function leave(conversation, ask)
  if ask and ask.ln then
    local lane = key('lane:' .. ask.t .. ':' .. ask.ln)
    redis.call('ZREM', lane, conversation)
    if redis.call('EXISTS', lane) == 0 then
      redis.call('SREM', key('lanes:' .. ask.t), ask.ln)
    end
    redis.call('ZREM', key('wait:' .. ask.t), conversation)
    redis.call('ZREM', key('due'), 'o ' .. conversation)
    ask.ln = nil
  end
end

-- An agent no longer has a conversation.
local function drop(conversation, agent, ask)
  redis.call('HDEL', key('of'), conversation)
  redis.call('ZREM', key('has:' .. agent), conversation)
  redis.call('ZREM', key('due'), 's ' .. conversation)
  if ask then
    redis.call('SREM', key('has:' .. agent .. ':c:' .. ask.ch), conversation)
    redis.call('SREM', key('has:' .. agent .. ':k:' .. ask.k), conversation)
  end
end

-- An agent has a conversation from now on. silent: ms until it is taken back unanswered, 0 = never.
local function give(conversation, agent, ask, now, silent)
  redis.call('HSET', key('of'), conversation, agent)
  redis.call('ZADD', key('has:' .. agent), text(now), conversation)
  redis.call('SADD', key('has:' .. agent .. ':c:' .. ask.ch), conversation)
  redis.call('SADD', key('has:' .. agent .. ':k:' .. ask.k), conversation)
  redis.call('HSET', key('last'), agent, redis.call('INCR', key('clock')))
  if silent > 0 then
    redis.call('ZADD', key('due'), text(now + silent), 's ' .. conversation)
  end
end

-- Remember for how long a contact comes back to an agent.
local function attach(ask, agent, now, sticky)
  if sticky > 0 and ask and ask.co ~= '' and agent ~= '' then
    redis.call('SET', key('with:' .. ask.co), agent .. ' ' .. text(now), 'PX', text(sticky))
  end
end

-- Keep the record of an assignment, from which the report is made. Who was there (names) is told when it has changed,
-- and now and then: it is longer than all the rest.
local function note(conversation, agent, ask, now, by, names)
  local present = ''
  if names then
    local count = redis.call('HINCRBY', key('told'), ask.t, 1)
    if count % 100 == 1 or redis.call('HGET', key('there'), ask.t) ~= names then
      redis.call('HSET', key('there'), ask.t, names)
      present = names
    end
  end
  redis.call('XADD', key('given'), 'MAXLEN', '~', KEPT, '*', 'c', conversation, 't', ask.t, 'a', agent, 'at', text(now),
    'w', text(math.max(0, now - ask.s)), 'p', tostring(ask.p), 'by', by, 'n', present)
end

-- Whether somebody is there: online, away, offline, or shift when they are off duty. on: whether their shift is on.
local function state(agent, on, now)
  local packed = redis.call('HGET', key('presence'), agent)
  if packed then
    local said = cjson.decode(packed)
    if said['until'] > 0 and now >= said['until'] then
      if said['then'] == 'offline' then
        return 'offline', said
      end
    elseif said.state ~= 'online' or on or not said.shift then
      return said.state, said
    end
  end
  return on and 'online' or 'shift', nil
end
