-- Whether a channel's platform works, as all processes together have found out.
-- KEYS: channel -> "failures until pause reason"; until = 0 while it is closed, else when the next one may try.
-- ARGV: verb, channel, now, then for 'failed': 1 if it was the one that tried, how many failures open it, first pause,
-- longest pause, chance, reason; for 'try': milliseconds in which whoever tries must have said how it went.
-- Returns {failures, until}; for 'try' {1, 0} if the caller may try, else {0, when to ask again}.
local verb, channel, now = ARGV[1], ARGV[2], tonumber(ARGV[3])
local failures, till, pause, reason = string.match(redis.call('HGET', KEYS[1], channel) or '0 0 0 ', '^(%d+) (%d+) (%d+) (.*)$')
failures, till, pause = tonumber(failures), tonumber(till), tonumber(pause)
local function keep()
  redis.call('HSET', KEYS[1], channel, string.format('%.0f %.0f %.0f %s', failures, till, pause, reason))
end
if verb == 'passed' then
  redis.call('HDEL', KEYS[1], channel)
  return {0, 0}
end
if verb == 'try' then
  if till == 0 then
    return {1, 0}
  end
  if till > now then
    return {0, till}
  end
  till = now + tonumber(ARGV[4])
  keep()
  return {1, 0}
end
if verb == 'unknown' then
  -- whoever tried has learnt nothing: the next one may
  if till > 0 then
    till = now
    keep()
  end
  return {failures, till}
end
failures, reason = failures + 1, ARGV[9]
if (till == 0 and failures >= tonumber(ARGV[5])) or (till > 0 and ARGV[4] == '1') then
  pause = pause == 0 and tonumber(ARGV[6]) or math.min(pause * 2, tonumber(ARGV[7]))
  till = now + math.floor(pause * (0.75 + 0.5 * tonumber(ARGV[8])))
end
keep()
return {failures, till}
