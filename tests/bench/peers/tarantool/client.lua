-- The measuring client of Tarantool. Prints one JSON object.
--
--   client.lua PORT ingest EVENTS PER_CALL CALLS_IN_FLIGHT
--   client.lua PORT get IDS IN_FLIGHT SECONDS
--   client.lua PORT dump FILE
local net, clock, fiber = require('net.box'), require('clock'), require('fiber')
local WARMUP_S = 0.5
local server = net.connect('127.0.0.1:' .. arg[1])

local function next_call(file, per_call)
  local lines = {}
  while #lines < per_call do
    local line = file:read('*l')
    if not line then break end
    lines[#lines + 1] = line
  end
  return lines
end

local function ingest(path, per_call, window)
  local file = assert(io.open(path))
  local lines, applied, futures, head, tail, ended = 0, 0, {}, 1, 0, false
  local begin = clock.time()
  repeat
    while not ended and tail - head + 1 < window do
      local batch = next_call(file, per_call)
      ended = #batch == 0
      if not ended then
        tail, lines = tail + 1, lines + #batch
        futures[tail] = server:call('ingest', {batch}, {is_async = true})
      end
    end
    if head <= tail then
      local answer, err = futures[head]:wait_result(60)
      if not answer then error(err) end
      applied = applied + answer[1]
      futures[head], head = nil, head + 1
    end
  until ended and head > tail
  print(string.format('{"lines":%d,"applied":%d,"seconds":%.6f}', lines, applied, clock.time() - begin))
end

local function get(path, in_flight, seconds)
  local ids, us, missed, at = {}, {}, 0, 0
  for line in io.lines(path) do ids[#ids + 1] = line end
  local from = clock.time() + WARMUP_S
  local ended = fiber.channel(in_flight)
  local function work()
    while true do
      local begin = clock.time()
      if begin > from + seconds then break end
      at = at % #ids + 1
      local p = server:call('get', {ids[at]})
      if begin >= from then
        if not p then missed = missed + 1 end
        us[#us + 1] = (clock.time() - begin) * 1e6
      end
    end
    ended:put(true)
  end
  for _ = 1, in_flight do fiber.create(work) end
  for _ = 1, in_flight do ended:get() end
  table.sort(us)
  local function quantile(share) return us[math.min(#us, math.floor(#us * share) + 1)] end
  print(string.format('{"ops_s":%.1f,"p50_us":%.1f,"p99_us":%.1f,"n":%d,"missed":%d}', #us / seconds, quantile(0.5),
                      quantile(0.99), #us, missed))
end

if arg[2] == 'ingest' then ingest(arg[3], tonumber(arg[4]), tonumber(arg[5]))
elseif arg[2] == 'get' then get(arg[3], tonumber(arg[4]), tonumber(arg[5]))
elseif arg[2] == 'dump' then server:call('dump', {arg[3]}, {timeout = 600})
else error('usage: client.lua PORT ingest|get|dump ...') end
os.exit(0)
