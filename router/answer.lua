-- An agent has answered: silence is over, and the next wait of this conversation begins with its next message.
-- ARGV: conversation, when (ms), log position. An answer from before the agent got it, read again after a crash, changes
-- nothing: the log tells which was first, or the clocks where it is not known which entry gave it to them.
local agent = redis.call('HGET', key('of'), ARGV[1])
local known = agent and stored(ARGV[1])
local heard = false
if known and known.at then
  heard = not after(known.at, ARGV[3])
elseif known then
  heard = tonumber(redis.call('ZSCORE', key('has:' .. agent), ARGV[1]) or '0') <= tonumber(ARGV[2])
end
if heard then
  known.s, known.j, known.av, known.seen = nil, nil, {}, {}
  store(ARGV[1], known)
  redis.call('ZREM', key('due'), 's ' .. ARGV[1])
end
