#!lua name=oneid
-- One-ID on Redis: a function takes several events in one call, so that a round trip and the write to
-- the append-only file are shared.
--
--   m                 SET of message ids
--   i:<ns>:<value>    the profile's number
--   p:<number>        HASH: points, a trait and <trait>_ts, "t:"tag, "i:"identity
--   o:<number>        LIST of day|cents|category
--   b:t: b:c: b:g:    with live bitmaps: who has a tag, a city, a gender; bit = number
--
-- Days are those of Asia/Shanghai, as in the benchmark's cluster file.
local ZONE_MS, DAY_MS = 28800000, 86400000
local TRAITS = {'city', 'gender', 'birth_year'}
local BITMAP_OF = {city = 'b:c:', gender = 'b:g:'}
local call -- redis.call exists only while a function runs

local function profile_of(keys)
  local got, least = call('MGET', unpack(keys)), nil
  for i = 1, #keys do
    local number = got[i] and tonumber(got[i])
    got[i] = number
    if number and (not least or number < least) then least = number end
  end
  return got, least or call('INCR', 'pid')
end

local function set_trait(pid, trait, value, ts, old, set, bitmaps)
  local prefix = bitmaps and BITMAP_OF[trait]
  if prefix then
    if old then call('SETBIT', prefix .. old, pid, 0) end
    call('SETBIT', prefix .. value, pid, 1)
  end
  set[#set + 1] = trait
  set[#set + 1] = value
  set[#set + 1] = trait .. '_ts'
  set[#set + 1] = ts
end

local function stamps_and_values(key)
  return call('HMGET', key, 'city_ts', 'gender_ts', 'birth_year_ts', 'city', 'gender')
end

-- Folds the profile `from` into `pid`. `set` collects the fields of `pid`.
local function merge(pid, from, set, bitmaps)
  local fields = call('HGETALL', 'p:' .. from)
  if #fields == 0 then return end
  local traits, key = {}, 'p:' .. pid
  local current = stamps_and_values(key)
  for i = 1, #fields, 2 do
    local field, value = fields[i], fields[i + 1]
    local kind = field:sub(1, 2)
    if kind == 't:' then
      set[#set + 1] = field
      set[#set + 1] = ''
      if bitmaps then
        call('SETBIT', 'b:t:' .. field:sub(3), from, 0)
        call('SETBIT', 'b:t:' .. field:sub(3), pid, 1)
      end
    elseif kind == 'i:' then
      set[#set + 1] = field
      set[#set + 1] = ''
      call('SET', field, pid)
    else
      traits[field] = value
    end
  end
  call('HINCRBY', key, 'points', traits.points)
  local newer = {}
  for q = 1, 3 do
    local trait = TRAITS[q]
    local value, ts = traits[trait], traits[trait .. '_ts']
    if value then
      if bitmaps and BITMAP_OF[trait] then call('SETBIT', BITMAP_OF[trait] .. value, from, 0) end
      if tonumber(ts) > (tonumber(current[q] or 0) or 0) then
        set_trait(pid, trait, value, ts, current[q + 3], newer, bitmaps)
      end
    end
  end
  if #newer > 0 then call('HSET', key, unpack(newer)) end
  call('DEL', 'p:' .. from)
  local orders = call('LRANGE', 'o:' .. from, 0, -1)
  if #orders > 0 then
    call('RPUSH', 'o:' .. pid, unpack(orders))
    call('DEL', 'o:' .. from)
  end
end

local function take_traits(pid, e, set, bitmaps)
  if not next(e.traits) then return end
  local current = stamps_and_values('p:' .. pid)
  for q = 1, 3 do
    local trait = TRAITS[q]
    local value = e.traits[trait]
    if value and e.ts > (tonumber(current[q] or 0) or 0) then
      set_trait(pid, trait, value, string.format('%d', e.ts), current[q + 3], set, bitmaps)
    end
  end
end

local function take_event(text, bitmaps)
  local e = cjson.decode(text)
  if call('SADD', 'm', e.message_id) == 0 then return 0 end
  local names, keys, set = {}, {}, {}
  for ns, value in pairs(e.ids) do
    names[#names + 1] = ns .. ':' .. value
    keys[#keys + 1] = 'i:' .. names[#names]
  end
  local got, pid = profile_of(keys)
  for i = 1, #keys do
    if not got[i] then
      call('SET', keys[i], pid)
      set[#set + 1] = keys[i]
      set[#set + 1] = ''
    elseif got[i] ~= pid then
      merge(pid, got[i], set, bitmaps)
    end
  end
  take_traits(pid, e, set, bitmaps)
  for _, tag in ipairs(e.tags) do
    set[#set + 1] = 't:' .. tag
    set[#set + 1] = ''
    if bitmaps then call('SETBIT', 'b:t:' .. tag, pid, 1) end
  end
  if #set > 0 then call('HSET', 'p:' .. pid, unpack(set)) end
  call('HINCRBY', 'p:' .. pid, 'points', e.add.points)
  local order = e.event
  if order then
    local day, cents = math.floor((e.ts + ZONE_MS) / DAY_MS), math.floor(order.amount * 100 + 0.5)
    call('RPUSH', 'o:' .. pid, string.format('%d|%d|%s', day, cents, order.category))
  end
  return 1
end

-- args: '1' to keep the bitmaps live, then events. Returns how many counted.
redis.register_function('ingest', function(keys, args)
  call = redis.call
  local n = 0
  for i = 2, #args do n = n + take_event(args[i], args[1] == '1') end
  return n
end)

redis.register_function{function_name = 'get', flags = {'no-writes'}, callback = function(keys, args)
  local pid = redis.call('GET', 'i:' .. args[1])
  return pid and redis.call('HGETALL', 'p:' .. pid)
end}
