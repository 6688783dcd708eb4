-- SPDX-License-Identifier: MIT
-- What deciding one event costs with 10, 100, 1,000 and 10,000 rules: networks of both families, most with a port and
-- a protocol. Rounds of the four are interleaved, so that whatever else the machine does meets all of them alike.
-- Part "rules" of scripts/bench.
local ffi = require("ffi")
local recording = require("recording_core")
local seeded = require("seeded")
local slices = require("slices")
local lib = require("spec.helper").core

local COUNTS = { 10, 100, 1000, 10000 }
local BATCHES, BATCH, TIMES = 64, 256, 2

local M = {}

-- A network as text, and an address in it or near it.
local function network(r)
  if r:below(2) == 0 then
    local len = r:pick({ 16, 20, 22, 24, 24, 24, 28, 32 })
    local unit = 2 ^ (32 - len)
    local net = 0x0a000000 + r:below(0x02000000)
    net = net - net % unit
    local function text(n) return ("%d.%d.%d.%d"):format(n / 2 ^ 24, n / 2 ^ 16 % 256, n / 2 ^ 8 % 256, n % 256) end
    return ("%s/%d"):format(text(net), len), function() return text(net + r:below(unit)) end
  end
  local len, site, lan = r:pick({ 32, 48, 56, 64, 64, 128 }), r:below(4096), r:below(65536)
  local site_lan = len == 32 and { site, 0, 0 } or len == 48 and { site, lan, 0 } or { site, lan, r:below(256) * 256 }
  local text = ("2001:%x:%x:%x"):format(unpack(site_lan))
  local host = len == 128 and "::1" or "::"
  return ("%s%s/%d"):format(text, host, len), function()
    return len == 128 and text .. "::1" or ("%s::%x"):format(text, r:below(65536))
  end
end

local function rules(r, count)
  local lines, near = {}, {}
  for i = 1, count do
    local net, address = network(r)
    local port, protocol = r:pick({ 22, 53, 80, 443, 8443, 1024 + r:below(60000) }), r:pick({ "tcp", "udp" })
    local wanted = r:below(8) == 0 and ('"%d-%d"'):format(port, port + 100) or tostring(port)
    lines[i] = ('%s "r%d" { protocol = "%s", dst_addr = "%s", dst_port = %s }'):format(r:pick({ "allow", "deny" }), i,
      protocol, net, wanted)
    near[i] = { address = address, port = port, protocol = protocol == "tcp" and 6 or 17 }
  end
  return table.concat(lines, "\n") .. '\ndefault { decision = "deny" }\n', near
end

-- Half of the events meet the rule they were made from, the others miss it by port or by address.
local function fill(r, raw, near)
  local rule = r:pick(near)
  local miss = r:below(4)
  local _, elsewhere = network(r)
  local address = miss == 0 and elsewhere() or rule.address()
  recording.fill(raw, { src = address:find(":", 1, true) and "fd00::1" or "10.0.0.1", dst = address,
    protocol = rule.protocol, dst_port = miss == 1 and 1 or rule.port, seq = 1 })
end

local function prepare(count)
  local r, core = seeded.new(count), recording.new()
  local written = { count = 0 }
  core.cf_intern, core.cf_record_write = lib.cf_intern, function() written.count = written.count + 1 return 0 end
  local host = require("cellflow.host").new(core)
  local text, near = rules(r, count)
  local began = os.clock()
  host.load(text, "rules.lua", {}, ffi.new("struct cf_plan"))
  local self = { count = count, load = os.clock() - began, host = host, core = core, near = near,
    written = written, batch = core.cf_batch_get(), events = ffi.new("struct cf_event[?]", BATCHES * BATCH) }
  for i = 0, BATCHES * BATCH - 1 do fill(r, self.events[i], near) end
  return self
end

local function round(self)
  local spent = 0
  for b = 0, BATCHES - 1 do
    ffi.copy(self.batch.events, self.events + b * BATCH, BATCH * ffi.sizeof("struct cf_event"))
    local began = os.clock()
    self.host.batch(BATCH)
    spent = spent + os.clock() - began
  end
  return spent / (BATCHES * BATCH)
end

function M.run(options)
  local worlds, names, rows, bars = {}, {}, {}, {}
  for i, count in ipairs(COUNTS) do names[i], worlds[tostring(count)] = tostring(count), prepare(count) end
  for _ = 1, 5 do for _, name in ipairs(names) do round(worlds[name]) end end -- compiled before anything counts
  local result = slices.rounds(names, options.quick and 10 or 40, function(name)
    local sum = 0
    for _ = 1, TIMES do sum = sum + round(worlds[name]) end
    return { ns = sum / TIMES * 1e9 }
  end, 60)
  for i, name in ipairs(names) do
    local stat = result:of(name, "ns")
    rows[i] = { name, stat, result:ratio(name, names[1], "ns"), worlds[name].load * 1e3 }
    bars[i] = { label = name .. " rules", median = stat.median, low = stat.low, high = stat.high, is_ours = true }
  end
  return { title = "Rules", checks = { { what = "deciding an event with 10,000 rules, of that with 10",
      value = result:ratio(names[#names], names[1], "ns"), must = 1.5, aim = 1.1,
      cause = "An event takes as many look-ups as with 10 rules (one in ten looks at a second word), but in tables of "
      .. "a megabyte, in no order: also addresses that no rule names do. Those of 10 rules stay in the first cache, "
      .. "these in the second or third, of which others on the machine take their part: they grow with its load." } },
    about = "Networks of both families, most with a port and a protocol; half of the events meet the rule they were "
      .. "made from, the others miss it by port or address. Only the decision: the record is not made.",
    tables = { { head = { "rules", "CPU ns an event", "of 10 rules", "ms to load" }, rows = rows } },
    plot = { title = "Deciding an event: CPU ns as rules grow", unit = "ns", bars = bars } }
end

return M
