-- Remember what a customer, or somebody for them, has said about being written to. A later word holds, and of one
-- millisecond the one that comes later.
-- KEYS: the partition's log. ARGV: address record, field, the word as JSON with its time as "at":0, its time (0 = now),
-- 1 if that is a hub's and not the log's, log type, address.
-- The log's clock never goes back, so moments of hubs are brought in line with it: what is said now comes after all
-- that is known, and nothing is said in time to come.
-- Returns {1 if it is new, 1 if it holds, the word that holds, the last campaign that wrote to the address or ''}.
local base = string.sub(KEYS[1], 1, -4)
local key = base .. ARGV[1]
local old = redis.call('HGET', key, ARGV[2])
local known = old and cjson.decode(old)
local campaign = redis.call('HGET', key, 'cg') or ''

local function same(one, other)
  for name, value in pairs(one) do
    if name ~= 'at' and other[name] ~= value then
      return false
    end
  end
  return true
end

local at = tonumber(ARGV[4])
local again = known and known.at == at
if ARGV[5] == '1' then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
  if last then
    now = math.max(now, tonumber(string.match(last[1], '^%d+')))
  end
  if at == 0 then
    at = math.max(now, known and known.at or 0)
  elseif at > now then
    again = known -- it was given the moment in which it came
    at = now
  end
end
if again then
  local word = cjson.decode(ARGV[3])
  again = same(word, known) and same(known, word)
end
if known and (again or known.at > at) then
  return {0, again and 1 or 0, old, campaign}
end
local word = string.gsub(ARGV[3], '"at":0,', '"at":' .. string.format('%d', at) .. ',', 1)
redis.call('HSET', key, ARGV[2], word)
redis.call('XADD', KEYS[1], '*', 't', ARGV[6], 'a', ARGV[7], 'at', string.format('%d', at), 'b', word)
return {1, 1, word, campaign}
