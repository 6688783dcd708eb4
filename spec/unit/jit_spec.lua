-- SPDX-License-Identifier: MIT
-- The batch loop is compiled, with and without hooks, and nothing in the path is a thing the compiler cannot do: one
-- such thing in a rare branch would put every event back into the interpreter.
local ffi = require("ffi")
require("spec.helper")
local recording = require("recording_core")
local trace_log = require("trace_log")

local WARM_UP, STEADY = 60, 20 -- batches: a branch is hot when it was taken ten times, which may be once a batch
-- Instructions an event at most: what is done once a batch; a hook would be ten and more.
local INTERPRETED = 2

local VERDICT = 'function verdict(ev) if ev.dst_port == 22 then return "deny", "ssh" end end\n'
local REASON = 'function reason(ev, decision, code) if ev.protocol == "udp" then return "udp_" .. decision end end\n'
local DEDUP = "function dedup(ev) return ev.dst_addr, 60 end\n"
local FORMAT = "function format(record) if record.decision == 'deny' then return record end end\n"

-- The loop is compiled, what it does now and then is interpreted (docs/policy.md): JSON made in Lua, and text.format
-- with a number for %s. Where such a thing ends the traces of each event, the loop itself may stay without one.
local TABLE = "with a table emitted in a rare branch"
local IN_PART = { [TABLE] = true, ["of lua/examples/cloudevents.lua"] = true,
  ["of lua/examples/csv.lua"] = true, ["of lua/examples/declared_versus_exercised.lua"] = true }

local POLICIES = {
  ["without a policy"] = false,
  ["with verdict"] = VERDICT,
  ["with verdict on addresses"] = [[function verdict(ev)
    if net("10.0.0.0/14"):has(ev.dst_addr) and (ev.byte_count or 0) < 50 * MB then return "deny", "inside", "rule" end
  end]],
  ["with reason"] = REASON,
  ["with dedup"] = DEDUP,
  ["with a line of its own"] = 'function format(r) return r.decision .. " " .. (r.dst_addr or "-") end',
  ["with many fields of an event"] = [[function verdict(e)
    if e.kind == "opened" and e.protocol == "tcp" and (e.dst_port or 0) < 1024 and e.src_addr and e.dst_addr
      and (e.byte_count or 0) < 10000 and (e.packet_count or 0) < 100 and e.direction ~= "ingress" and not e.fragment
      and e.hook and e.source and e.family then return "deny", "x" end
  end]],
  ["with many members of a record"] = [[function format(r)
    return r.decision .. r.reason_code .. (r.src_addr or "-") .. (r.dst_addr or "-") .. (r.src_port or 0)
      .. (r.dst_port or 0) .. (r.protocol or "") .. (r.kind or "") .. (r.direction or "")
  end]],
  ["with many values in hand"] = [[
    function dedup(ev) if ev.protocol == "udp" then return ev.src_addr .. ev.dst_addr, 30 end end
    function format(r)
      local a, b, c, d = r.src_addr, r.dst_addr, r.src_port or 0, r.dst_port or 0
      local e, f, g, h, i = r.protocol, r.kind, r.direction, r.packet_count or 0, r.byte_count or 0
      if a == b then return nil end
      if r.decision == "deny" then return a .. b .. c .. d .. e .. f .. g .. h .. i end
      return ("%s %s %d %d %s %s %s %s"):format(a, b, c, d, e, f, g, r.interface or r.cell_id or "-")
    end]],
  ["with four hooks"] = VERDICT .. REASON .. DEDUP .. FORMAT,
  ["with handlers of events and decisions"] = [[
    local ssh, last = 0, nil
    on("opened", function(ev) last = ev.dst_port end)
    on("opened", { dst_port = 22, protocol = { "tcp", "udp" } }, function(ev) ssh = ssh + 1 end)
    on("closed", function(ev) ssh = 0 end)
    on("decision", function(record) if record.decision == "deny" then ssh = ssh + 1 end end)
    on("decision", { dst_port = 443 }, function(record) last = record.reason_code end)]],
  ["with counters"] = [[
    local all = counter("all")
    on("opened", function(ev)
      all:add()
      counter("bytes"):add(ev.byte_count or 0)
      counter("protocol", ev.protocol):add()
      if counter("port", ev.dst_port):get() < 0 then all:add(2) end
    end)]],
  ["with what the firewall and the end of a flow say"] = [[
    local named, both, reset = 0, 0, 0
    on("opened", { nft_rule = "no-ssh", conflict = true }, function(ev) named = named + 1 end)
    on("closed", { witnesses = "ebpf,nflog" }, function(ev) both = both + (ev.reply_byte_count or 0) end)
    function verdict(ev)
      if ev.nft_rule == "no-ssh" and not ev.midstream then return "deny", "firewall", ev.nft_rule end
      if ev.close_reason == "rst" and ev.witnesses == "ebpf" and ev.reopened then reset = reset + 1 end
    end]],
  ["with rules on what the firewall and the end of a flow say"] = [[
    deny "a" { nft_rule = "no-ssh", hook = "nf_output" }
    deny "b" { witnesses = { "nflog", "ebpf,nflog" }, reply_packet_count = "2-" }
    allow "c" { midstream = true, conflict = false }]],
  ["with windows"] = [[
    local seen = window(60)
    function verdict(ev)
      if seen:add(ev.dst_addr) > 1e6 and seen:count(ev.dst_port) == 0 then return "deny", "rate" end
    end]],
  ["with lines emitted from handlers and hooks"] = [[
    on("opened", function(ev) if ev.protocol == "udp" then emit("udp " .. ev.dst_addr) end end)
    on("decision", function(record) emit(record) end)
    function verdict(ev) if ev.dst_port == 22 then emit("ssh") end end]],
  [TABLE] = [[
    on("opened", { dst_port = 22, protocol = "udp" }, function(ev)
      emit { type = "note", to = ev.dst_addr, port = ev.dst_port }
    end)]],
  ["with print in a rare branch"] = "function verdict(ev) if ev.dst_port == 22 then print(ev.dst_addr, 22) end end",
}

-- Each word of the language, for every event: those that are compiled, and those of which docs/policy.md says that they
-- are not ("### What costs").
local WORDS = {
  ["log.debug"] = "function verdict(ev) log.debug(ev.dst_addr) end",
  ["log.info"] = 'function verdict(ev) log.info("to " .. ev.dst_addr) end',
  ["log.warn"] = 'function verdict(ev) log.warn("x") end',
  ["log.error"] = "function verdict(ev) log.error(ev.dst_port) end",
  ["print"] = "function verdict(ev) print(ev.dst_addr, ev.dst_port) end",
  ["json.encode of text"] = 'function verdict(ev) if json.encode(ev.dst_addr) == "" then return "deny" end end',
  ["json.encode of a number"] = 'function verdict(ev) if json.encode(ev.dst_port) == "" then return "deny" end end',
  ["window:add"] = [[local w = window(60)
    function verdict(ev) if w:add(ev.dst_addr) > 1e9 then return "deny" end end]],
  ["window:count"] = [[local w = window(60)
    function verdict(ev) if w:count(ev.dst_port) > 1e9 then return "deny" end end]],
  ["window:top"] = [[local w = window(60)
    function verdict(ev) w:add(ev.dst_addr) if w:top(3)[1].count > 1e9 then return "deny" end end]],
  ["window:forgotten"] = [[local w = window(60)
    function verdict(ev) w:add(ev.dst_addr) if w:forgotten() > 1e9 then return "deny" end end]],
  ["net:has"] = [[local n = net { "10.0.0.0/14", "fd00::/8" }
    function verdict(ev) if n:has(ev.dst_addr) then return "deny" end end]],
  ["counter:add"] = 'function verdict(ev) counter("a", ev.dst_port):add(2) end',
  ["counter:get"] = 'function verdict(ev) if counter("a"):get() > 1e9 then return "deny" end end',
  ["args and units"] = [[function verdict(ev)
    if ev.dst_port == tonumber(args.port or "22") then return "deny", "x" .. kB + MB + GB + sec + minute + hour end
  end]],
  ["emit of text"] = 'function verdict(ev) emit("to " .. ev.dst_port) end',
  ["emit of a record"] = 'on("decision", function(record) emit(record) end)',
  ["times"] = 'function format(r) return r.observed_at .. " " .. r.first_seen end',
}
local WORDS_THAT_COST = {
  ["ev:copy"] = 'function verdict(ev) local t = ev:copy() if t.dst_port == 22 then return "deny" end end',
  ["record:copy"] = 'on("decision", function(r) local t = r:copy() if t.dst_port == 1 then counter("x"):add() end end)',
  ["a record that `format` changed"] = 'function format(r) r.site = "x" return r end',
  ["`emit` of a table"] = 'function verdict(ev) emit { type = "x", port = ev.dst_port } end',
  ["`json.encode` of a table"] = [[
    function verdict(ev) if json.encode({ port = ev.dst_port }) == "" then return "deny" end end]],
  ["`pairs`"] = [[local l = { a = 1 }
    function verdict(ev) for _, v in pairs(l) do if v == ev.dst_port then return "deny" end end end]],
}

-- What the command line selects, with a policy.
local SELECTIONS = {
  ["with --where"] = { "where", 'dst_port == 443 and decision == "deny" or byte_count > 100' },
  ["with --where on what may be absent"] = { "where", 'close_reason == "rst" or vlan > 5 or -reply_byte_count < -3' },
  ["with --where on networks and texts"] = {
    "where", 'net("10.2.0.0/15"):has(dst_addr) and not (nft_rule == "no-ssh")', "where", '#cell_id > 3' },
  ["with filters"] = { "port", "22,50-60", "ip", "10.0.0.0/14", "decision", "allow", "kind", "opened",
    "reason", "ebpf_flow_observed", "protocol", "udp", "since", "1" },
  ["with filters and --where"] = { "to-port", "22", "where", 'protocol == "tcp"' },
}

-- The example policies, as they stand; docs/policy.md says of syslog.lua what it costs.
for path in io.popen("ls lua/examples/*.lua"):lines() do
  local file = assert(io.open(path))
  if not path:find("syslog.lua", 1, true) then POLICIES["of " .. path] = file:read("*a") end
  file:close()
end

-- The runtime anew: what the compiler gave up on while another spec ran stays given up, flush or not. The event's
-- metatype can be made only once, so it stays, with what it shares.
local function fresh_host()
  local kept = { ["cellflow.event"] = true, ["cellflow.place"] = true, ["cellflow.suggest"] = true }
  for name in pairs(package.loaded) do
    if name:match("^cellflow%.") and not name:match("_h$") and not kept[name] then package.loaded[name] = nil end
  end
  return require("cellflow.host")
end

-- The host over a core whose outputs are the real interning and nothing else, because lists of what was written would
-- bring traps of their own; the number of events that ended; and the batch's events.
local function prepare(text, selection)
  local core = recording.new()
  local written = { count = 0 }
  local function count() written.count = written.count + 1 return 0 end
  local function zero() return 0 end
  core.cf_intern = require("spec.helper").core.cf_intern
  core.cf_record_write, core.cf_line_write, core.cf_event_end, core.cf_event_suppress = count, count, count, count
  core.cf_log_text = function() end
  core.cf_extra_write, core.cf_extra_record = zero, zero
  core.cf_counter_slot, core.cf_counter_add, core.cf_counter_get = zero, function() end, zero
  core.cf_dedup_seen = function(_, _, _, now_ns) return now_ns % 2 == 0 and 1 or 0 end
  local host = fresh_host().new(core)
  host.select(selection or {})
  host.load(text or nil, "cellflow.lua", {}, ffi.new("struct cf_plan"))
  local batch = core.cf_batch_get()
  for i = 0, 255 do
    recording.fill(batch.events[i], { dst = ("10.%d.0.1"):format(i % 8), dst_port = i % 5 == 0 and 22 or 443,
      protocol = i % 3 == 0 and 17 or 6, verdict = i % 4 == 0 and 2 or 1, last_seen_ns = 2000000000 + i % 7,
      kind = i % 6 == 0 and 3 or 1, close_reason = i % 12 == 0 and 2 or 0, reply_packets = i % 6 == 0 and i or 0,
      witnesses = i % 7 == 0 and 6 or 0, flags = i % 8 == 0 and 1 + 8 + 64 or i % 9 == 0 and 1 + 8 + 128 or 1 + 8,
      prefix = i % 11 == 0 and "cellflow:deny:no-ssh" or i % 13 == 0 and "other" or "" })
  end
  return host, written, batch.events
end

local function batches(host, count, events)
  for _ = 1, count do host.batch(events) end
end
jit.off(batches) -- not the loop in question

local function check_steady(host)
  local function more() batches(host, STEADY, 256) end
  assert.same({}, trace_log.unsteady(more))
  local count = trace_log.interpreted(more)
  assert.is_true(count < INTERPRETED * STEADY * 256, count .. " instructions interpreted")
end

describe("the batch loop is compiled", function()
  for name, text in pairs(POLICIES) do
    it(name, function()
      local host, written = prepare(text)
      local log = trace_log.record(function() batches(host, WARM_UP, 256) end)
      assert.equal(WARM_UP * 256, written.count)
      assert.same({}, trace_log.fatal(log))
      if not IN_PART[name] then
        assert.is_true(trace_log.is_compiled(host.loop()), trace_log.text(log))
        check_steady(host)
      end
    end)
  end
  -- What LuaJIT begins to record in the last round of a loop it gives up, and after about 60,000 such rounds the loop.
  for _, name in ipairs({ "without a policy", "with four hooks" }) do
    it("after a night of batches of one event, " .. name, function()
      local host = prepare(POLICIES[name])
      batches(host, 100000, 1)
      trace_log.record(function() batches(host, WARM_UP, 256) end)
      assert.is_true(trace_log.is_compiled(host.loop()))
      check_steady(host)
    end)
  end
  -- A trace that begins behind a branch of the policy, in a batch of few events, ends in what called it: where that is
  -- never compiled, it is given up, four times for each branch, whenever traffic takes a new one.
  it("and so is what a batch of few events meets", function()
    local host, _, events = prepare(POLICIES["with four hooks"])
    local pool = ffi.new("struct cf_event[256]")
    ffi.copy(pool, events, ffi.sizeof(pool))
    local function run()
      for i = 1, 6000 do
        ffi.copy(events, pool + i % 253, 3 * ffi.sizeof("struct cf_event"))
        host.batch(1 + i % 3)
      end
    end
    jit.off(run)
    local given_up = {}
    for _, abort in ipairs(trace_log.record(run)) do
      if abort.at:find("dispatch.lua", 1, true) or abort.at:find("compiler.lua", 1, true) then
        given_up[#given_up + 1] = abort
      end
    end
    assert.equal(0, #given_up, trace_log.text(given_up))
  end)
  -- On a starved host many batches take too long, and after each of them the policy's functions are timed.
  it("and stays as it is while slow batches have functions timed, again and again", function()
    local host = prepare(POLICIES["with four hooks"] .. POLICIES["with handlers of events and decisions"])
    local timed = 0
    local function run(rounds)
      for _ = 1, rounds do
        batches(host, 3, 256)
        timed = timed + (host.slow(0.05, 0.02) and 1 or 0)
        batches(host, 1, 256)
        timed = timed + (host.slow(0.001, 0.02) and 1 or 0)
      end
    end
    jit.off(run)
    run(100)
    assert.same({}, trace_log.unsteady(function() run(50) end))
    assert.equal(150, timed)
  end)
  for name, selection in pairs(SELECTIONS) do
    for _, text in ipairs({ false, VERDICT .. FORMAT, 'deny "ssh" { dst_port = 22 }' }) do
      it(name .. (text and " and " .. text:sub(1, 16) or " alone"), function()
        local host, written = prepare(text, selection)
        local log = trace_log.record(function() batches(host, WARM_UP, 256) end)
        assert.equal(WARM_UP * 256, written.count)
        assert.same({}, trace_log.fatal(log))
        assert.is_true(trace_log.is_compiled(host.loop()), trace_log.text(log))
        check_steady(host)
      end)
    end
  end
  for name, text in pairs(WORDS) do
    it("with the word " .. name, function()
      local host = prepare(text)
      local log = trace_log.record(function() batches(host, WARM_UP, 256) end)
      assert.same({}, trace_log.fatal(log))
      check_steady(host)
    end)
  end
  for name, text in pairs(WORDS_THAT_COST) do
    it("but for what costs: " .. name, function()
      local host = prepare(text)
      local log = trace_log.record(function() batches(host, WARM_UP, 256) end)
      local count = trace_log.interpreted(function() batches(host, STEADY, 256) end)
      assert.is_true(#trace_log.fatal(log) > 0 or count > INTERPRETED * STEADY * 256, count)
      local file = assert(io.open("docs/policy.md"))
      local costs = file:read("*a"):match("\n### What costs\n(.-)\n##")
      file:close()
      assert.truthy(costs:find(name:find("`") and name or ("`%s()`"):format(name), 1, true), name)
    end)
  end
  it("and a hook that makes a closure for each event would be noticed", function()
    local host = prepare("function verdict(ev) local f = function() return ev end if f == nil then return f end end")
    local log = trace_log.record(function() batches(host, WARM_UP, 256) end)
    assert.is_true(#trace_log.fatal(log) > 0)
    local count = trace_log.interpreted(function() batches(host, STEADY, 256) end)
    assert.is_true(count > INTERPRETED * STEADY * 256)
  end)
end)
