-- Write down what became of a file that was to be fetched, if anybody wants it still: who erases takes the jobs away.
-- KEYS: the jobs, what became of the files of the message. ARGV: job, place of the file, result, when to try again or ''.
-- Returns 1, or 0 if there is no such job any more.
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return 0
end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
if ARGV[4] ~= '' then
  redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
end
return 1
