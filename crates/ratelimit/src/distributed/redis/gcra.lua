-- GCRA in one step. What comes before this text says what time it is: `now`, in whole microseconds.
--
-- A time is two integers, microseconds and 64,000ths of one, so that every interval is exact in the doubles that Lua counts with.
-- Stored are the time at which the burst is full again, and the time at which that was written.
local PARTS = 64000
local key, verb = KEYS[1], ARGV[1]
local t, t_part, burst = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local function cost(n)
  local parts = t_part * n
  local carry = math.floor(parts / PARTS)
  return t * n + carry, parts - carry * PARTS
end

local function minus(a, a_part, b, b_part)
  if a_part < b_part then
    return a - b - 1, a_part - b_part + PARTS
  end
  return a - b, a_part - b_part
end

local function up(a, a_part)
  return a_part > 0 and a + 1 or a
end

local tat, tat_part = now, 0
local stored = redis.pcall('GET', key)
if type(stored) == 'table' then
  return string.find(stored.err, 'WRONGTYPE') and {-1} or stored
elseif stored then
  local whole, part, written = string.match(stored, '^(-?%d+):(%d+):(-?%d+)$')
  if not whole then
    return {-1}
  end
  whole, part, written = tonumber(whole), tonumber(part), tonumber(written)
  -- The clock went back. So does what was counted on it.
  whole = whole - math.max(0, written - now)
  if whole >= now then
    tat, tat_part = whole, part
  end
end

local function store()
  if tat < now or (tat == now and tat_part == 0) then
    tat, tat_part = now, 0
    return redis.call('DEL', key)
  end
  local value = string.format('%.0f:%.0f:%.0f', tat, tat_part, now)
  local ms = math.ceil(up(tat - now, tat_part) / 1000)
  return redis.call('SET', key, value, 'PX', string.format('%.0f', ms))
end

local function room()
  local tau, tau_part = cost(burst)
  return minus(tau, tau_part, tat - now, tat_part)
end

local function available()
  local free, free_part = room()
  local function fits(n)
    local c, c_part = cost(n)
    return c < free or (c == free and c_part <= free_part)
  end
  if not fits(1) then
    return 0
  end
  -- The quotient may be off by one.
  local n = math.min(burst, math.floor((free + free_part / PARTS) / (t + t_part / PARTS)))
  while n < burst and fits(n + 1) do n = n + 1 end
  while not fits(n) do n = n - 1 end
  return n
end

local function answer(status, n, wait)
  return {status, n, available(), wait, up(tat - now, tat_part), tat, tat_part}
end

local function plus(c, c_part)
  tat, tat_part = tat + c, tat_part + c_part
  if tat_part >= PARTS then
    tat, tat_part = tat + 1, tat_part - PARTS
  end
end

if verb == 'take' then
  local least, most = tonumber(ARGV[5]), tonumber(ARGV[6])
  local has, needed = available(), math.min(least, burst)
  if has < needed then
    local c, c_part = cost(needed)
    local free, free_part = room()
    return answer(0, 0, up(minus(c, c_part, free, free_part)))
  end
  local n = math.max(least, math.min(most, has))
  plus(cost(n))
  store()
  return answer(1, n, 0)
elseif verb == 'refund' then
  local back, back_part = cost(tonumber(ARGV[5]))
  local to, to_part = tonumber(ARGV[6]), tonumber(ARGV[7])
  -- What of the charge was not earned again.
  local owed, owed_part = to - now, to_part
  if owed < 0 then
    owed, owed_part = 0, 0
  end
  if owed < back or (owed == back and owed_part < back_part) then
    back, back_part = owed, owed_part
  end
  tat, tat_part = minus(tat, tat_part, back, back_part)
  store()
end
return answer(2, 0, 0)
