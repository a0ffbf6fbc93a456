-- The conversation knows its agent. ARGV: conversation, agent. A later hand-off of the same conversation stays open.
if redis.call('HGET', key('of'), ARGV[1]) == ARGV[2] then
  redis.call('HDEL', key('handoff'), ARGV[1])
end
