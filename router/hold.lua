-- Say who has a conversation now: an agent, or nobody; it waits no longer.
-- ARGV: a msgpack map: now, id, agent ('' = nobody), since (when they got it), at (the log position of what says so, '' =
-- not known), from (a team whose queue it may stand in), ask (what it asks for, see router/assignment.py), silent and
-- sticky (ms, 0 = never), over (true: it is resolved, and what it asked for is forgotten), hub (true: the hub gave it),
-- calm (true: a hand-off within its team goes on).
-- Returns the agent who had it before ('' = nobody).
local ask = cmsgpack.unpack(ARGV[1])
local before = redis.call('HGET', key('of'), ask.id) or ''
local known = stored(ask.id)
local waited, told = known and known.ln, false
local story = redis.call('HGET', key('handoff'), ask.id)
if ask.calm and ask.agent == '' and story and string.match(story, '^%S+') == ask.ask.t then
  return before -- what is told was so before it was handed out; what came of that is being told
end
redis.call('HDEL', key('handoff'), ask.id)
redis.call('ZREM', key('wait:' .. ask.from), ask.id)
leave(ask.id, known)
local wanted = known or ask.ask
if ask.agent ~= '' then
  wanted.t, wanted.p = ask.ask.t, ask.ask.p
  -- Since when, by the log, whose order no clock can change. The same agent's never goes back: a log is read again.
  if before ~= ask.agent then
    wanted.at = nil
  end
  if ask.at ~= '' and not (wanted.at and after(wanted.at, ask.at)) then
    wanted.at, told = ask.at, true
  end
end
if before ~= ask.agent then
  if before ~= '' then
    drop(ask.id, before, known)
    attach(wanted, before, ask.now, ask.sticky)
  end
  if ask.agent ~= '' then
    wanted.s = wanted.s or ask.ask.s
    give(ask.id, ask.agent, wanted, ask.since, ask.silent)
    attach(wanted, ask.agent, ask.now, ask.sticky)
    note(ask.id, ask.agent, wanted, ask.now, 'people')
  end
end
if ask.over then
  redis.call('HDEL', key('ask'), ask.id)
elseif waited or told or (ask.agent ~= '' and before ~= ask.agent) then
  store(ask.id, wanted)
end
if ask.hub and ask.agent ~= '' then
  local word, said = state(ask.agent, true, ask.now)
  if word == 'offline' and said.release then
    -- They went offline between the choice and its telling: it goes on to somebody else at once.
    redis.call('ZADD', key('due'), text(ask.now), 's ' .. ask.id)
  end
end
return before
