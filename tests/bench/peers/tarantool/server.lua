-- server.lua PORT WAL_MODE (in the data's folder): One-ID on Tarantool. A call takes several events in one
-- transaction, which is one write to the log. WAL_MODE: write (to the page cache) or fsync.
--
-- Days are those of Asia/Shanghai, as in the benchmark's cluster file.
local json, io = require('json'), require('io')
local ZONE_MS, DAY_MS = 28800000, 86400000

box.cfg{listen = '127.0.0.1:' .. arg[1], wal_mode = arg[2], memtx_memory = 4 * 1024 ^ 3, readahead = 4 * 1024 ^ 2,
        net_msg_max = 1024, checkpoint_interval = 0, checkpoint_wal_threshold = 2 ^ 60}

local schema = box.schema
local message = schema.space.create('message')
message:create_index('pk', {type = 'hash', parts = {1, 'string'}})
local identity = schema.space.create('identity')
identity:create_index('pk', {type = 'hash', parts = {1, 'string'}})
identity:create_index('pid', {unique = false, parts = {2, 'unsigned'}})
local profile = schema.space.create('profile')
profile:create_index('pk', {type = 'tree', parts = {1, 'unsigned'}})
local orders = schema.space.create('orders')
orders:create_index('pk', {parts = {1, 'unsigned', 2, 'unsigned'}})
local profile_seq, order_seq = schema.sequence.create('pid'), schema.sequence.create('oid')
schema.user.grant('guest', 'super')

-- A profile: pid, points, then value and time of city, gender, birth_year, then a list of tags.
local POINTS, TAGS = 2, 9
local FIELD_OF = {city = 3, gender = 5, birth_year = 7}
local NULL = box.NULL

-- The identities' keys, the profile that each is on (false: none), and the least of these profiles.
local function resolve(ids)
  local keys, found, least = {}, {}, nil
  for ns, value in pairs(ids) do
    local key = ns .. ':' .. value
    local t = identity:get(key)
    keys[#keys + 1] = key
    found[#keys] = t and t[2] or false
    if t and (not least or t[2] < least) then least = t[2] end
  end
  return keys, found, least
end

local function add_tag(p, known, tag)
  if known[tag] then return end
  known[tag] = true
  p[TAGS][#p[TAGS] + 1] = tag
end

local function merge(pid, p, from, known)
  local l = profile:delete(from)
  if not l then return end
  p[POINTS] = p[POINTS] + l[POINTS]
  for _, f in pairs(FIELD_OF) do
    if l[f] ~= nil and l[f + 1] > p[f + 1] then p[f] = l[f]; p[f + 1] = l[f + 1] end
  end
  for _, tag in ipairs(l[TAGS]) do add_tag(p, known, tag) end
  for _, t in ipairs(identity.index.pid:select(from)) do identity:replace{t[1], pid} end
  for _, t in ipairs(orders:select(from)) do
    orders:delete{from, t[2]}
    orders:insert{pid, t[2], t[3], t[4], t[5]}
  end
end

local function take_event(text)
  local e = json.decode(text)
  if message:get(e.message_id) then return 0 end
  message:insert{e.message_id}
  local keys, found, pid = resolve(e.ids)
  local p
  if pid then
    p = profile:get(pid):totable()
  else
    pid = profile_seq:next()
    p = {pid, 0, NULL, 0, NULL, 0, NULL, 0, {}}
  end
  local known = {}
  for _, tag in ipairs(p[TAGS]) do known[tag] = true end
  for i, key in ipairs(keys) do
    if not found[i] then identity:insert{key, pid}
    elseif found[i] ~= pid then merge(pid, p, found[i], known) end
  end
  local ts = tonumber(e.ts)
  for trait, value in pairs(e.traits) do
    local f = FIELD_OF[trait]
    if ts > p[f + 1] then p[f] = value; p[f + 1] = ts end
  end
  for _, tag in ipairs(e.tags) do add_tag(p, known, tag) end
  p[POINTS] = p[POINTS] + e.add.points
  profile:replace(p)
  local order = e.event
  if order then
    orders:insert{pid, order_seq:next(), math.floor((ts + ZONE_MS) / DAY_MS), math.floor(order.amount * 100 + 0.5), order.category}
  end
  return 1
end

-- Returns how many of the events counted.
function ingest(lines)
  local n = 0
  box.begin()
  for i = 1, #lines do n = n + take_event(lines[i]) end
  box.commit()
  return n
end

function get(key)
  local t = identity:get(key)
  if not t then return nil end
  local ids = {}
  for _, x in ipairs(identity.index.pid:select(t[2])) do ids[#ids + 1] = x[1] end
  return profile:get(t[2]), ids
end

local function text_of(value) return value ~= nil and tostring(value) or '' end

local function canonical(p)
  local ids, tags, count, cents = {}, {}, 0, 0
  for _, x in ipairs(identity.index.pid:select(p[1])) do ids[#ids + 1] = x[1] end
  for _, t in ipairs(p[TAGS]) do tags[#tags + 1] = tonumber(t:sub(2)) end
  for _, o in ipairs(orders:select(p[1])) do count = count + 1; cents = cents + o[4] end
  table.sort(ids)
  table.sort(tags)
  return string.format('%s|%d|%s|%s|%s|%s|%d|%d\n', table.concat(ids, ','), tonumber(p[POINTS]), text_of(p[3]), text_of(p[5]),
                       text_of(p[7]), table.concat(tags, ','), count, tonumber(cents))
end

-- Every profile to a file, one canonical line each (lib/truth.py).
function dump(path)
  local out = io.open(path, 'w')
  for _, p in profile:pairs() do out:write(canonical(p)) end
  out:close()
end

print('schema is made')
io.stdout:flush()
