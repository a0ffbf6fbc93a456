-- Leave a delivery that is due for later without an attempt: its channel rests, or its recipient has had enough for now.
-- KEYS: due set. ARGV: epoch, delivery key, due, now, reason ('' = none: only its turn in line moves).
-- Returns 1 if it waits for *reason* only since now, 2 if it has before, 0 if it is no longer due, -1 if another worker has taken over.
local base = string.sub(KEYS[1], 1, -4)
local key = base .. 'd:' .. ARGV[2]
if redis.call('HGET', base .. 'lease', 'epoch') ~= ARGV[1] then
  return -1
end
local old = redis.call('HMGET', key, 'state', 'error', 'conv', 'log', 'left')
local due = redis.call('ZSCORE', KEYS[1], ARGV[2])
-- also what a process had in hand that died before anything left
local idle = old[1] == 'queued' or old[1] == 'deferred' or (old[1] == 'sending' and old[5] ~= '1')
if not idle or not due or tonumber(due) > tonumber(ARGV[4]) then
  return 0
end
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[2])
redis.call('HSET', key, 'due', ARGV[3])
if ARGV[5] == '' or (old[1] == 'deferred' and old[2] == ARGV[5]) then
  return 2
end
local entry = {'t', 'v', 'c', old[3] or '', 'd', ARGV[2], 'st', 'deferred', 'ca', 'hub', 'er', ARGV[5], 'du', ARGV[3]}
if old[4] then
  entry[#entry + 1] = 'pv'
  entry[#entry + 1] = old[4]
end
local id = redis.call('XADD', base .. 'log', '*', unpack(entry))
redis.call('HSET', key, 'state', 'deferred', 'error', ARGV[5], 'code', '', 'changed', ARGV[4], 'log', id)
if old[3] then
  redis.call('RPUSH', base .. 't:' .. old[3], 'w' .. id)
end
return 1
