-- What an agent or a team has still to be told of one conversation. Handing in an event again changes nothing.
-- KEYS: the set of whom to tell when. ARGV: operation, member, and what the operation needs.
--   add POSITION REASON DUE BUNDLE LIFE   -> 1, or 0 if it was told or handed in before
--   take                                  -> {reasons, position, when told last, up to where, letter}, {} if nothing waits
--   done POSITION NOW SEEN LETTER BUNDLE LIFE
--   later DUE
-- The set is {partition}:notices; what waits is in {partition}:notice:<member>, which ends by itself.
local base = string.sub(KEYS[1], 1, -8)
local member = ARGV[2]
local key = base .. 'notice:' .. member

local function after(one, other)
  local ms1, seq1 = string.match(one, '^(%d+)-(%d+)$')
  local ms2, seq2 = string.match(other, '^(%d+)-(%d+)$')
  ms1, seq1, ms2, seq2 = tonumber(ms1), tonumber(seq1), tonumber(ms2), tonumber(seq2)
  return ms1 > ms2 or (ms1 == ms2 and seq1 > seq2)
end

if ARGV[1] == 'add' then
  local position, due = ARGV[3], tonumber(ARGV[5])
  local known = redis.call('HMGET', key, 'last', 'reasons', 'at')
  if known[1] and not after(position, known[1]) then
    return 0
  end
  local reasons = known[2] and known[2] ~= '' and (known[2] .. '\n' .. ARGV[4]) or ARGV[4]
  redis.call('HSET', key, 'last', position, 'reasons', reasons)
  redis.call('PEXPIRE', key, ARGV[7])
  if known[3] then
    due = math.max(due, tonumber(known[3]) + tonumber(ARGV[6]))
  end
  local waits = redis.call('ZSCORE', KEYS[1], member)
  if not waits or tonumber(waits) > due then
    redis.call('ZADD', KEYS[1], string.format('%.0f', due), member)
  end
  return 1
end

if ARGV[1] == 'take' then
  local found = redis.call('HMGET', key, 'sealed', 'upto', 'at', 'seen', 'letter', 'reasons', 'last')
  if not found[1] then
    if not found[6] or found[6] == '' then
      redis.call('ZREM', KEYS[1], member)
      return {}
    end
    -- Sealed: whoever goes on after a crash tells of exactly the same, under the same key.
    redis.call('HSET', key, 'sealed', found[6], 'upto', found[7])
    redis.call('HDEL', key, 'reasons')
    found[1], found[2] = found[6], found[7]
  end
  return {found[1], found[2], found[3] or '0', found[4] or '', found[5] or ''}
end

if ARGV[1] == 'later' then
  redis.call('ZADD', KEYS[1], 'XX', ARGV[3], member)
  return 1
end

if redis.call('HGET', key, 'upto') ~= ARGV[3] then
  return 0
end
redis.call('HDEL', key, 'sealed', 'upto')
if ARGV[6] ~= '' then
  redis.call('HSET', key, 'at', ARGV[4], 'seen', ARGV[5], 'letter', ARGV[6])
end
redis.call('PEXPIRE', key, ARGV[8])
if (redis.call('HGET', key, 'reasons') or '') ~= '' then
  redis.call('ZADD', KEYS[1], string.format('%.0f', tonumber(ARGV[4]) + tonumber(ARGV[7])), member)
else
  redis.call('ZREM', KEYS[1], member)
end
return 1
