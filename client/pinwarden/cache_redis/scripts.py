"""
What Redis does in one step, in its own language, Lua.

Nothing is imported here. A script compares numbers and sizes only, and never believes that what it finds was written by
one of us.
"""

# KEYS: what to read. ARGV: the most bytes that each of them may have.
# Gives per key the bytes, nil when it is missing, the size when that is too large, or -1 for another type.
READ = """
local answers = {}
for at, key in ipairs(KEYS) do
  local size = redis.pcall('STRLEN', key)
  if type(size) == 'table' then
    if string.sub(size.err or '', 1, 9) ~= 'WRONGTYPE' then return size end
    answers[at] = -1
  elseif size > tonumber(ARGV[at]) then
    answers[at] = size
  else
    answers[at] = redis.call('GET', key)
  end
end
return answers
"""

# KEYS: the newest documents, then roots.
# ARGV: the line that the writer found, the new line, the documents, the times at which they and the roots end, the
# channel, the most bytes that documents may have, then per root its bytes, or '' for one that is there and only lives
# on.
# Writes when the new numbers are higher than those that stand there, or when those are what the writer has judged, or
# stand before more than anyone reads.
# Gives 1, or 0 when another writer was faster: numbers may lie, but whoever believes one reads again and judges it.
WRITE = """
local function numbers(line)
  local pe, pv, te, tv = string.match(line, '^pinwarden%-1 (%d+)%.(%d+) (%d+)%.(%d+) %d+$')
  if pe then return tonumber(pe), tonumber(pv), tonumber(te), tonumber(tv) end
end
local there = redis.pcall('GETRANGE', KEYS[1], 0, 99)
if type(there) == 'table' then
  if string.sub(there.err or '', 1, 9) ~= 'WRONGTYPE' then return there end
  there = ''
elseif redis.call('STRLEN', KEYS[1]) > tonumber(ARGV[7]) then
  there = ''
end
there = string.match(there, '^([^\\n]*)\\n') or ''
if there ~= ARGV[1] then
  local pe, pv, te, tv = numbers(there)
  if pe then
    local npe, npv, nte, ntv = numbers(ARGV[2])
    local pins = npe > pe or (npe == pe and npv >= pv)
    local times = nte > te or (nte == te and ntv >= tv)
    if not (pins and times) or ARGV[2] == there then return 0 end
  end
end
for at = 2, #KEYS do
  local root = ARGV[at + 6]
  if root ~= '' then redis.call('SET', KEYS[at], root) end
  redis.call('EXPIREAT', KEYS[at], ARGV[5])
end
redis.call('SET', KEYS[1], ARGV[2] .. '\\n' .. ARGV[3])
redis.call('EXPIREAT', KEYS[1], ARGV[4])
redis.pcall('PUBLISH', ARGV[6], ARGV[2])
return 1
"""

# KEYS: the lease. ARGV: milliseconds.
# Gives 0 when it is the asker's now, else the milliseconds that are left. One without an end, or with a later one than
# ours could have, is none of ours.
LEASE = """
local left = redis.pcall('PTTL', KEYS[1])
if type(left) == 'table' then return left end
if left > 0 and left <= tonumber(ARGV[1]) then return left end
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
return 0
"""

# KEYS: the evidence. ARGV: the evidence, seconds to live.
# The first evidence stays.
TESTIFY = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""
