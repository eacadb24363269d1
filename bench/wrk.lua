-- Sends the requests that REQUESTS names, a line each: method, path, body and request id, tab-separated; the last two may
-- be missing.
-- With RATE, a thread's connections together send no faster than so many a second; one that fell behind catches up.
local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long seconds; long nanoseconds; } moment;
  int clock_gettime(int clock, moment *now);
]]
local now = ffi.new("moment")
local lines, prepared = {}, {}
local rate, due = tonumber(os.getenv("RATE")) or 0, nil

for line in io.lines(os.getenv("REQUESTS")) do lines[#lines + 1] = line end

local function milliseconds()
  ffi.C.clock_gettime(1, now)
  return tonumber(now.seconds) * 1000 + tonumber(now.nanoseconds) / 1e6
end

function init()
  math.randomseed(42)
  for number, line in ipairs(lines) do
    local method, path, body, id = line:match("([^\t]+)\t([^\t]+)\t?([^\t]*)\t?(.*)")
    local headers = {}
    for name, value in pairs(wrk.headers) do headers[name] = value end
    if id ~= "" then headers["X-Request-Id"] = id end
    prepared[number] = wrk.format(method, path, headers, body ~= "" and body or nil)
  end
end

function request() return prepared[math.random(#prepared)] end

if rate > 0 then
  function delay()
    local at = milliseconds()
    due = (due or at) + 1000 / rate
    return math.max(0, math.floor(due - at))
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%f,"p50":%f,"p99":%f,"p999":%f,"most":%f,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency:percentile(99.9) / 1e3, latency.max / 1e3, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
