-- SPDX-License-Identifier: MIT
-- require("cellflow.testing"), as specs of policies use it: decisions, virtual time, what else a policy says, golden
-- files, made-up events, and that each mistake is told at the line that made it. `cellflow test` is test_verb_spec's.
local coverage = require("cellflow.coverage")
local coverage_report = require("cellflow.coverage_report")
local event_words = require("cellflow.event_words")
local lib = require("spec.helper").core
local strict_json = require("strict_json")
local testing = require("cellflow.testing")

local POLICY = [[
cell "web" { netns = "web" }
cell "db" { netns = "db", interface = "lo" }
local seen, hits, every_minute = window(10), counter("hits"), counter("kinds", "tick")
allow "https" { protocol = "tcp", dst_port = 443 }
deny "on-lo" { interface = "lo", dst_port = 444, reason = "lo" }
function dedup(ev) if ev.dst_port == 7 then return ev.dst_addr, 5 end end
function verdict(ev)
  if ev.dst_port == 22 then return "deny", "ssh", "no-ssh" end
  if ev.dst_port == 23 then return nil + 1 end
  if ev.dst_port == 24 then return "deny", tostring(seen:add(ev.dst_addr)) end
end
function format(record)
  if record.dst_port == 1 then return nil end
  if record.dst_port == 2 then return "two," .. record.dst_addr end
  if record.dst_port == 3 then record.site = args.site end
  return record
end
on("opened", { dst_port = 4 }, function(ev) emit { to = ev.dst_addr } emit "plain" end)
on("decision", function(record) if record.decision == "deny" then hits:add() end end)
on("start", function() log.warn("started") end)
on("lost", function(lost) emit { lost = lost.count, total = lost.total } end)
on("stop", function() emit "stopped" end)
every(60, function(now)
  every_minute:add()
  emit { now = now }
end)
]]

describe("cellflow.testing", function()
  local directory, path, policy

  setup(function()
    jit.off() -- as in `cellflow test`
    jit.flush()
    local pipe = io.popen("mktemp -d")
    directory = pipe:read("*l")
    pipe:close()
  end)
  teardown(function()
    jit.on()
    testing.release()
    os.execute("rm -r " .. directory)
  end)

  local function write(name, text)
    local file = assert(io.open(directory .. "/" .. name, "wb"))
    file:write(text)
    file:close()
    return directory .. "/" .. name
  end
  local function read(name)
    local file = assert(io.open(name, "rb"))
    local text = file:read("*a")
    file:close()
    return text
  end
  local function load(text, options) return testing.load(write("other.lua", text), options) end

  before_each(function()
    path = write("cellflow.lua", POLICY)
    policy = testing.load(path, { args = { site = "lab" } })
  end)

  -- fn must fail at its own first line, with this text.
  local function fails(text, fn)
    local ok, err = pcall(fn)
    assert.is_false(ok)
    local where = ("spec/unit/testing_spec.lua:%d: "):format(debug.getinfo(fn, "S").linedefined + 1)
    assert.equal(where, tostring(err):sub(-#err, #where), tostring(err))
    assert.truthy(err:find(text, 1, true), err)
  end

  describe("decide", function()
    it("gives the record that a run writes, and its line", function()
      local record, line = policy:decide { protocol = "tcp", dst_addr = "192.0.2.7", dst_port = 443, cell = "db" }
      assert.same({ "allow", "policy_allow", "https", path .. ":4", "db", "lo", "192.0.2.7", "2026-01-01T00:00:00Z" },
        { record.decision, record.reason_code, record.rule, record.decided_at, record.cell_id, record.interface,
          record.dst_addr, (record.observed_at:gsub("%.0+Z", "Z")) })
      assert.same(record, strict_json.decode(line))
      assert.is_nil(record.icmp_type)
      assert.is_nil(record.policy_digest)
    end)

    it("asks hooks, and falls back to the default mapping", function()
      local record = policy:decide { dst_port = 22 }
      assert.same({ "deny", "ssh", "no-ssh" }, { record.decision, record.reason_code, record.rule })
      assert.equal("ebpf_flow_observed", policy:decide({ dst_port = 99 }).reason_code)
      record = policy:decide { dst_port = 99, verdict = "drop", direction = "ingress" }
      assert.equal("ebpf_xdp_drop", record.reason_code)
    end)

    it("takes a record as JSON text, numbers, truths, lists and times", function()
      local _, line = policy:decide { dst_port = 22, src_addr = "10.9.8.7" }
      local again = policy:decide(line)
      assert.same({ "ssh", "10.9.8.7" }, { again.reason_code, again.src_addr })
      local record = policy:decide { kind = "closed", fragment = true, witnesses = { "ebpf", "nflog" }, duration = 1.5,
        mark = 4294967295, byte_count = 9007199254740992, close_reason = "idle" }
      assert.same({ true, { "ebpf", "nflog" }, 1500, 4294967295, 9007199254740992, "idle" }, { record.fragment,
        record.witnesses, record.duration_ms, record.mark, record.byte_count, record.close_reason })
    end)

    it("gives nil and the ending of an event without a record", function()
      assert.same({ nil, "suppressed" }, { policy:decide { dst_port = 1 } })
      assert.truthy(policy:decide { dst_port = 7 })
      assert.same({ nil, "deduplicated" }, { policy:decide { dst_port = 7 } })
    end)

    it("gives a line of format's beside what was decided, and a record that format changed", function()
      local record, line = policy:decide { dst_port = 2, dst_addr = "10.0.0.2" }
      assert.same({ "two,10.0.0.2", "allow", 2 }, { line, record.decision, record.dst_port })
      assert.equal("lab", policy:decide { dst_port = 3 }.site)
    end)

    it("costs a faulty hook its answer, and says so", function()
      local record = policy:decide { dst_port = 23 }
      assert.same({ "script_error", path .. ":9" }, { record.reason_code, record.error_at })
      local logs = policy:logs()
      assert.same({ "warn", "started" }, { logs[1].level, (logs[1].text:gsub("^.*: ", "")) })
      assert.truthy(logs[2].text:find("cellflow.lua:9: attempt to perform arithmetic on a nil value", 1, true))
      assert.equal(2, #logs)
    end)

    it("lets an event come in through another interface, and only that one", function()
      assert.equal("lo", policy:decide { dst_port = 444, interface = "lo" }.reason_code)
      local record = policy:decide { dst_port = 444 }
      assert.same({ "ebpf_flow_observed", "eth0" }, { record.reason_code, record.interface })
    end)

    it("numbers events, so that no two decisions have one id", function()
      assert.not_equal(policy:decide().decision_id, policy:decide().decision_id)
      local other = testing.load(path)
      local first = other:decide().decision_id
      assert.equal(first, testing.load(path):decide().decision_id)
    end)

    it("keeps policies apart", function()
      local other = load('cell "x" { netns = "x" }\ndefault { decision = "deny" }\n')
      assert.same({ "default_deny", "x" }, { other:decide().reason_code, other:decide().cell_id })
      local record = policy:decide { dst_port = 99 }
      assert.same({ "ebpf_flow_observed", "web" }, { record.reason_code, record.cell_id })
      assert.truthy(policy:decide { dst_port = 7 })
      other:decide()
      assert.is_nil((policy:decide { dst_port = 7 }))
      assert.same({}, other:logs())
    end)

    it("makes up the cell that a command line would give", function()
      local record = load(""):decide()
      assert.same({ "cell", "eth0" }, { record.cell_id, record.interface })
    end)
  end)

  describe("time", function()
    it("is a moment of 2026 until somebody lets it go by", function()
      assert.equal(1767225600, policy:advance(0))
      assert.equal(1767225601.5, policy:advance(1.5))
      assert.equal("2026-01-01T00:00:01.500000000Z", policy:decide().observed_at)
      local other = testing.load(path, { time = "2026-03-29T01:59:59Z" })
      assert.equal("2026-03-29T01:59:59.000000000Z", other:decide().observed_at)
    end)

    it("makes dedup forget", function()
      assert.truthy(policy:decide { dst_port = 7 })
      policy:advance(4.999999999)
      assert.is_nil((policy:decide { dst_port = 7 }))
      policy:advance(0.000000001)
      assert.truthy(policy:decide { dst_port = 7 })
    end)

    it("moves windows", function()
      assert.equal("1", policy:decide { dst_port = 24 }.reason_code)
      policy:advance(5)
      assert.equal("2", policy:decide { dst_port = 24 }.reason_code)
      policy:advance(6)
      assert.equal("2", policy:decide { dst_port = 24 }.reason_code)
      policy:advance(11)
      assert.equal("1", policy:decide { dst_port = 24 }.reason_code)
    end)

    it("runs timers, each at its own time", function()
      policy:advance(59.9)
      assert.same({}, policy:emitted())
      policy:advance(120.1)
      assert.same({ { now = 1767225660 }, { now = 1767225720 }, { now = 1767225780 } }, policy:emitted())
      assert.equal(3, policy:counter("kinds", "tick"))
    end)

    it("is waited for when an event has a later one", function()
      policy:decide { time = "2026-01-01T00:01:30Z" }
      assert.same({ { now = 1767225660 } }, policy:emitted())
      assert.equal(1767225690, policy:advance(0))
      assert.equal("2026-01-01T00:00:10.000000000Z", policy:decide { time = 1767225610 }.observed_at)
      assert.equal(1767225690, policy:advance(0))
    end)
  end)

  it("tells what a policy emitted, counted and logged", function()
    policy:decide { dst_port = 4, dst_addr = "10.0.0.4" }
    policy:decide { dst_port = 22 }
    policy:lost(3)
    policy:lost(4)
    policy:stop()
    assert.same({ { to = "10.0.0.4" }, "plain", { lost = 3, total = 3 }, { lost = 4, total = 7 }, "stopped" },
      policy:emitted())
    assert.same({ 1, 0 }, { policy:counter("hits"), policy:counter("kinds", "tick") })
    assert.equal("tested policy", tostring(policy))
  end)

  it("reads what a policy includes, beside it", function()
    write("ports.lua", "return { 22, 23 }")
    assert.equal("deny", load('deny "x" { dst_port = include "ports.lua" }'):decide { dst_port = 23 }.decision)
  end)

  describe("golden files", function()
    local events = { { dst_port = 443 }, { dst_port = 4 }, { dst_port = 1 }, { dst_port = 23 } }

    after_each(function() testing.settings.update = false end)

    it("are written, hold what a run writes without line numbers, and are compared", function()
      local golden = directory .. "/a.jsonl"
      os.remove(golden)
      fails(("golden: there is no %s; `cellflow test --update` writes it"):format(golden), function()
        policy:golden(golden, events)
      end)
      testing.settings.update = true
      testing.load(path):golden(golden, events)
      testing.settings.update = false
      local text = read(golden)
      local kinds = {}
      for line in text:gmatch("[^\n]+") do
        local record = strict_json.decode(line)
        kinds[#kinds + 1] = record and (record.reason_code or "emitted") or line
        assert.is_nil(record and (record.decided_at or record.error_at))
      end
      assert.same({ "policy_allow", "emitted", "plain", "ebpf_flow_observed", "script_error" }, kinds)
      write("moved.lua", "-- a line more\n" .. POLICY)
      testing.load(directory .. "/moved.lua"):golden(golden, events)
      assert.equal(text, read(golden))
    end)

    it("say which line is not what it was", function()
      local golden = write("b.txt", "one\n{\"a\":1}\nthree\n")
      testing.golden(golden, { "one", { a = 1 }, "three" })
      fails("line 2 is not what it was:\n  was: {\"a\":1}\n  now: {\"a\":2}\n", function()
        testing.golden(golden, { "one", { a = 2 }, "three" })
      end)
      fails("`cellflow test --update` writes the file anew, if that is what was meant", function()
        testing.golden(golden, { "one", { a = 1 } })
      end)
      fails("line 4 is not what it was:\n  was: (no such line)\n  now: four", function()
        testing.golden(golden, { "one", { a = 1 }, "three", "four" })
      end)
      testing.settings.update = true
      fails("golden: cannot write /proc/none/c: No such file or directory", function()
        testing.golden("/proc/none/c", {})
      end)
    end)

    it("take an iterator", function()
      testing.settings.update = true
      policy:golden(directory .. "/d.jsonl", testing.events { count = 20 })
      testing.settings.update = false
      testing.load(path, { args = { site = "lab" } }):golden(directory .. "/d.jsonl", testing.events { count = 20 })
    end)

    it("leave the rest of a line alone", function()
      local without = require("cellflow.testing_golden").without_places
      assert.equal('{"a":1,"b":2}', without('{"a":1,"decided_at":"x\\"\\\\.lua:1","b":2}'))
      assert.equal('{"a":"x,\\"decided_at\\":\\"y","b":2}', without('{"a":"x,\\"decided_at\\":\\"y","b":2}'))
      assert.equal("decided_at", without("decided_at"))
    end)
  end)

  describe("made-up events", function()
    it("are the same for the same seed, and others for another", function()
      local function some(seed)
        local list = {}
        for event in testing.events { seed = seed, count = 50 } do list[#list + 1] = event end
        return list
      end
      assert.same(some(3), some(3))
      assert.not_same(some(3), some(4))
      assert.equal(50, #some(1))
      assert.same(some(testing.settings.seed), some(nil))
    end)

    it("are of every kind, family and protocol, with every field, and valid", function()
      local met, fields = {}, {}
      for event in testing.events { count = 800 } do
        met[event.kind .. event.family .. event.protocol_number] = true
        for name in pairs(event) do fields[name] = true end
        local record, ending = policy:decide(event)
        assert.is_true(record ~= nil or ending == "suppressed" or ending == "deduplicated")
      end
      local combinations = 0
      for _ in pairs(met) do combinations = combinations + 1 end
      assert.equal(4 * 2 * 9, combinations)
      -- Those that say another one in other words, or that a cell's surroundings decide.
      for _, name in ipairs({ "cell_id", "interface", "protocol", "ifindex", "cpu", "seq", "nft_rule", "nft_rule_ref",
        "observed_at", "time", "last_seen", "duration_ms", "first_seen" }) do
        fields[name] = true
      end
      for _, name in ipairs(event_words.ORDER) do assert.is_true(fields[name], name) end
    end)
  end)

  it("tells every mistake at the line that made it", function()
    fails('event: an event has no field "dst_prot" (did you mean "dst_port"?)', function()
      policy:decide { dst_prot = 1 }
    end)
    fails('event: "decision" is what a policy decides, no field of an event', function()
      policy:decide { decision = "deny" }
    end)
    fails("event: dst_port must be a whole number from 0 to 65535, got \"70000\"", function()
      policy:decide { dst_port = 70000 }
    end)
    fails('event: cell_id must be a cell of the policy, one of "db", "web", got "wbe" (did you mean "web"?)', function()
      policy:decide { cell = "wbe" }
    end)
    fails("event: dst_port must be text, a number, true or false, got a function", function()
      policy:decide { dst_port = print }
    end)
    fails("an event is a table of fields, or a record as JSON text, got 7", function()
      policy:decide(7)
    end)
    fails("event: no JSON record", function()
      policy:decide("{")
    end)
    fails("advance takes a number of seconds from 0 to 31622400, got -1", function()
      policy:advance(-1)
    end)
    fails("lost takes a number of events, got nil", function()
      policy:lost()
    end)
    fails('the policy has used no counter "hist" so far (did you mean "hits"?)', function()
      policy:counter("hist")
    end)
    fails('a policy under test has no "decied" (did you mean "decide"?)', function()
      policy:decied()
    end)
    fails('events: unknown option "cuont" (did you mean "count"?)', function()
      testing.events { cuont = 1 }
    end)
    fails('load: unknown option "agrs" (did you mean "args"?)', function()
      testing.load(path, { agrs = {} })
    end)
    fails("load: args must be a table, got \"x\"", function()
      testing.load(path, { args = "x" })
    end)
    fails("load: time must be a time like", function()
      testing.load(path, { time = "now" })
    end)
    fails("load takes the path of a policy, got nil", function()
      testing.load()
    end)
    fails("cannot open the policy file: /nonexistent.lua: No such file or directory", function()
      testing.load("/nonexistent.lua")
    end)
    fails("cannot read the policy file: " .. directory .. ": Is a directory", function()
      testing.load(directory)
    end)
    fails("other.lua:1: undefined name \"vedrict\"", function()
      load("vedrict = 1 + vedrict")
    end)
    fails('other.lua:1: cell "x": one of netns', function()
      load('cell "x" {}')
    end)
    fails('other.lua:2: cell "y": NFLOG group 100', function()
      load('cell "x" { netns = "a", sources = "nflog" }\ncell "y" { netns = "a", sources = "nflog" }')
    end)
    fails("other.lua:1: not back after 10 million instructions: a loop without an end?", function()
      load("function verdict() while true do pcall(tostring) end end"):decide()
    end)
  end)

  it("has a core that is released as it was found", function()
    policy:decide()
    testing.release()
    local event, decision = lib.cf_batch_get().events + 0, require("ffi").new("struct cf_decision")
    assert.equal(0, tonumber(lib.cf_record_json(event, decision, require("ffi").new("char[4096]"), 4096)))
    assert.equal("web", policy:decide().cell_id)
  end)

  it("says nothing of coverage where nobody opened it", function()
    assert.same({}, coverage.files())
    assert.equal("coverage: no policy was loaded\n", (coverage_report.text({})))
    assert.equal(0, select(2, coverage_report.text({})))
  end)
end)
