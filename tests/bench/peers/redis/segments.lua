#!lua name=segments
-- The questions that bitmaps answer: b:t:<tag>, b:c:<city> (b:c:none: without one),
-- b:g:<gender>. One call for each.
-- BITOP has a fast path for at most 16 keys, so twenty cities go in two steps.
local call

local function tags(...)
  local keys = {}
  for _, t in ipairs({...}) do keys[#keys + 1] = 'b:t:t' .. t end
  return keys
end

local function cities(from, to)
  local keys = {}
  for c = from, to do keys[#keys + 1] = string.format('b:c:city%03d', c) end
  return keys
end

local function op(name, into, keys) call('BITOP', name, into, unpack(keys)) end

local function register(name, question)
  redis.register_function(name, function()
    call = redis.call
    return question()
  end)
end

register('one_tag', function() return call('BITCOUNT', 'b:t:t3') end)

register('three_tags', function()
  op('AND', 'tmp:x', tags(0, 1, 2))
  return call('BITCOUNT', 'tmp:x')
end)

register('any_and_not', function()
  op('OR', 'tmp:x', tags(5, 8, 13))
  op('AND', 'tmp:y', {'tmp:x', 'b:t:t1'})
  return call('BITCOUNT', 'tmp:x') - call('BITCOUNT', 'tmp:y')
end)

register('tag_and_cities', function()
  op('OR', 'tmp:x', cities(5, 14))
  op('OR', 'tmp:y', cities(15, 24))
  op('OR', 'tmp:x', {'tmp:x', 'tmp:y'})
  op('AND', 'tmp:x', {'tmp:x', 'b:t:t2'})
  return call('BITCOUNT', 'tmp:x')
end)

register('by_city', function()
  local counts = {}
  op('OR', 'tmp:x', tags(1, 4))
  op('AND', 'tmp:x', {'tmp:x', 'b:g:F'})
  for c = 0, 299 do
    op('AND', 'tmp:y', {'tmp:x', string.format('b:c:city%03d', c)})
    counts[c + 1] = call('BITCOUNT', 'tmp:y')
  end
  op('AND', 'tmp:y', {'tmp:x', 'b:c:none'})
  counts[301] = call('BITCOUNT', 'tmp:y')
  return counts
end)
