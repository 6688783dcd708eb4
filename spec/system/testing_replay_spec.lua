-- SPDX-License-Identifier: MIT
-- policy:replay of cellflow.testing: the very lines that `cellflow replay` writes, with timers, handlers, dedup and
-- windows; what can be asked of them; how much is kept; and that each mistake is told at the line that made it.
local capture_bytes = require("capture_bytes")
local made = require("made_recording")
local packet = require("packet")
local recordings = require("replay_recording")
local testing = require("cellflow.testing")
local verb = require("verb")

local POLICY = [[
local seen, hits = window(2), counter("hits")
allow "web" { protocol = "tcp", dst_port = { 443, 80 } }
deny "six" { family = "ipv6" }
function dedup(ev) if ev.dst_port == 53 then return ev.dst_addr, 0.01 end end
function verdict(ev)
  if ev.dst_port == 22 then return "deny", "ssh" .. (seen:add(ev.dst_addr) % 3) end
  if ev.dst_port == 5432 and ev.src_port % 16 == 0 then return nil + 1 end
end
function format(record)
  if record.dst_port == 8080 then return nil end
  if record.dst_port == 80 and record.family == "ipv4" then return "eighty," .. record.dst_addr end
  if record.dst_port == 443 then record.site = args.env end
  return record
end
on("decision", function(record) if record.decision == "deny" then hits:add() end end)
on("opened", { dst_port = 80 }, function(ev)
  if ev.src_port % 64 == 0 then emit { to = ev.dst_addr, at = ev.time } end
end)
for _, what in ipairs { "start", "stop" } do on(what, function()
  emit(what .. " " .. hits:get())
  log.info(what)
end) end
on("lost", function(lost) emit { lost = lost.count, total = lost.total } end)
every(0.01, function(now) emit { now = now, hits = hits:get() } end)
]]

describe("policy:replay", function()
  local place, path

  setup(function()
    jit.off() -- as in `cellflow test`
    jit.flush()
  end)
  teardown(function()
    jit.on()
    testing.release()
  end)
  before_each(function()
    place = verb.open()
    path = place.path .. "/a.lua"
    place:write("a.lua", POLICY)
  end)
  after_each(function()
    testing.settings.update = false
    place:close()
  end)

  local function rec(name) return place.path .. "/" .. (name or "a.rec") end

  -- What `cellflow replay` writes, without what a policy under test does not know.
  local function replayed(words)
    local code, out, err = place:run("replay -q " .. words)
    assert.equal(0, code, err)
    local lines = {}
    for line in out:gmatch("[^\n]+") do lines[#lines + 1] = line:gsub(',"policy_digest":"[^"]*"', "") end
    return lines
  end

  -- The policy's name is in decided_at, so it is loaded from where the verb is run.
  local function same_lines(expected, replay)
    local lines = replay:lines()
    for i = 1, math.max(#expected, #lines) do
      assert.equal(expected[i], (lines[i] or "nothing"):gsub(place.path .. "/", ""), "line " .. i)
    end
  end

  it("writes what the verb writes: records, format's lines, what handlers and timers emit", function()
    place:write("a.rec", made.bytes(1500, { seed = 11 }))
    local expected = replayed("-c a.lua a.rec")
    local replay = testing.load(path):replay(rec())
    same_lines(expected, replay)
    local summary = replay.summary
    assert.is_true(summary.deduplicated > 0 and summary.suppressed > 0 and summary.script_errors > 0)
    assert.is_true(summary.whole)
    assert.equal(1500, summary.events)
    assert.same({ #expected, summary.records + summary.deduplicated + summary.suppressed },
      { summary.records + summary.emitted, summary.events })
    assert.equal(summary.records, summary.allow + summary.deny)
    same_lines(replayed("-c a.lua -a env=other a.rec"), testing.load(path, { args = { env = "other" } }):replay(rec()))
  end)

  it("has the recording's times, cells and losses, over all of its parts", function()
    local it = recordings.new(rec(), { args = { "env", "x" }, keyset_id = "k7" })
    it:moment(0.001, "start")
    it:batch(0.0125, { { at = 0.002, dst_port = 80 }, { cell = 1, dst_port = 22 }, { cell = 7 } })
    it:loss(0.013, { ring_full = 3, nflog_lost = 5 })
    it:clock(0.014, 3600)
    it:batch(0.015, { { dst_port = 22 } })
    it:close(0.02, { continues = true })
    local second = recordings.new(rec("b.rec"), { part = 1, at = 0.02, cells = { "web", "other" } })
    second:loss(0.021, { flow_full = 2 })
    second:batch(0.03, { { cell = 1, dst_port = 22 } })
    second:generation({ at = 0.03, generation = 9, digest = "sha256:x", cells = { "new" } })
    second:batch(0.031, { { dst_port = 22 } })
    second:close(0.05, { continues = true })
    local third = recordings.new(rec("c.rec"), { part = 2, at = 0.05, generation = 9, digest = "sha256:x",
      cells = { "new" } })
    third:batch(0.06, { { dst_port = 22 } })
    third:close(0.07)
    local replay = testing.load(path):replay({ rec(), rec("b.rec"), rec("c.rec") })
    same_lines(replayed("-c a.lua a.rec b.rec c.rec"), replay)
    assert.same({ 6, 1, 10 }, { replay.summary.events, replay.summary.refused, replay.summary.lost })
    local cells = {}
    for i, record in ipairs(replay:records { dst_port = 22 }) do cells[i] = record.cell_id end
    assert.same({ "db", "web", "other", "new", "new" }, cells)
    assert.same({ "k7", "2026-11-18T13:30:00.015000000Z" }, { replay:records()[1].keyset_id,
      replay:records({ dst_port = 22 })[2].observed_at })
  end)

  it("answers what is asked of its records", function()
    place:write("a.rec", made.bytes(600, { seed = 3 }))
    local replay = testing.load(path):replay(rec())
    local count = { deny = 0, web = 0, none = 0, two = 0, site = 0 }
    for _, record in ipairs(replay:records()) do
      count.deny = count.deny + (record.decision == "deny" and record.dst_port == 22 and 1 or 0)
      count.web, count.none = count.web + (record.rule == "web" and 1 or 0), count.none + (record.rule and 0 or 1)
      count.two = count.two + ((record.dst_port == 22 or record.dst_port == 443) and 1 or 0)
      count.site = count.site + (record.site == "lab" and 1 or 0)
    end
    assert.is_true(count.deny > 0 and count.site > 0 and count.none > 0)
    assert.same(count, { deny = replay:count { decision = "deny", dst_port = 22 }, web = replay:count { rule = "web" },
      none = replay:count { rule = false }, two = replay:count { dst_port = { 22, 443 } },
      site = replay:count { site = "lab" } })
    assert.equal(replay.summary.records, replay:count())
    assert.equal(0, replay:count { decision = "deny", dst_port = 9 })
    assert.is_true(replay:counter("hits") > replay.summary.deny) -- those that format suppressed are decided as well
    assert.equal("start 0", replay:emitted()[1])
    assert.truthy(replay:logs()[2].text:find("attempt to perform arithmetic on a nil value", 1, true))
    assert.equal("replay", tostring(replay))
  end)

  it("leaves the policy where it was, and begins anew each time", function()
    place:write("a.rec", made.bytes(300))
    local policy = testing.load(path)
    assert.equal("ssh1", policy:decide({ dst_port = 22, dst_addr = "10.0.0.9" }).reason_code)
    local first, second = policy:replay(rec()), nil
    assert.equal("ssh2", policy:decide({ dst_port = 22, dst_addr = "10.0.0.9" }).reason_code)
    assert.equal("2026-01-01T00:00:00.000000000Z", policy:decide({ dst_port = 1 }).observed_at)
    policy:replay(rec(), { each = function() second = second or policy:decide({ dst_port = 1 }) end })
    assert.equal("2026-01-01T00:00:00.000000000Z", second.observed_at)
    assert.same(first:lines(), policy:replay(rec()):lines())
    assert.equal(2, policy:counter("hits"))
  end)

  it("keeps as much as it is told to, and hands over the rest", function()
    place:write("a.rec", made.bytes(400, { seed = 5 }))
    local policy, records, lines = testing.load(path), {}, {}
    local all = policy:replay(rec())
    local replay = policy:replay(rec(), { each = function(record, line)
      records[#records + 1], lines[#lines + 1] = record, line
    end })
    assert.same(all:records(), records)
    assert.equal(#records, #lines)
    assert.same(all.summary, replay.summary)
    assert.equal(#records, replay:count())
    local text = ("the replay made %d records, and 0 are kept: give it { keep = %d }, or a function as `each`"):format(
      #records, #records)
    assert.has_error(function() replay:records() end, text)
    assert.same(all:emitted(), replay:emitted())
    assert.same(#all:logs(), #replay:logs())
    local some = policy:replay(rec(), { keep = 1 })
    for _, name in ipairs({ "records", "lines", "emitted", "logs" }) do
      local ok, err = pcall(some[name], some)
      assert.is_false(ok)
      assert.truthy(err:find(({ records = " records, and 1 are kept: give it { keep = ", lines = " lines, and 1 are",
        emitted = " emitted lines, and 1 are", logs = " log lines, and 1 are" })[name], 1, true), err)
    end
    assert.has_error(function() policy:replay(rec(), { each = function() error("mine", 0) end }) end)
  end)

  it("is compared with golden files", function()
    place:write("a.rec", made.bytes(100))
    local replay, golden = testing.load(path):replay(rec()), place.path .. "/a.jsonl"
    testing.settings.update = true
    replay:golden(golden)
    testing.settings.update = false
    testing.load(path):replay(rec()):golden(golden)
    place:write("a.lua", "-- a line more\n" .. POLICY)
    testing.load(path):replay(rec()):golden(golden)
    place:write("a.lua", POLICY .. 'default { decision = "deny" }\n')
    local ok, err = pcall(function() testing.load(path):replay(rec()):golden(golden) end)
    assert.is_false(ok)
    assert.truthy(err:find("is not what it was", 1, true), err)
  end)

  it("reads captures, by the policy's timeouts, with cells and events as it is told", function()
    local list = {}
    for i = 0, 20 do
      list[#list + 1] = { sec = 1795005000 + 40 * i, bytes = packet.frame4(packet.UDP,
        packet.udp({ src = 1000 + i % 3, dst = 53, payload = "query" }), { src = "10.77.0.2", dst = "192.0.2.9" }) }
    end
    place:write("a.pcap", capture_bytes.pcap(list))
    place:write("a.lua", "flows { udp_idle = 10 }\nevery(60, function(now) emit { now = now } end)\n")
    local policy = testing.load(path)
    same_lines(replayed("-c a.lua a.pcap"), policy:replay(rec("a.pcap")))
    local replay = policy:replay(rec("a.pcap"), { cell_net = { "web=10.77.0.0/24", "dns=192.0.2.9" },
      events = "opened,closed" })
    same_lines(replayed("-c a.lua --cell-net web=10.77.0.0/24 --cell-net dns=192.0.2.9 --events opened,closed a.pcap"),
      replay)
    assert.is_true(replay:count { kind = "closed", cell_id = "dns", direction = "ingress" } > 0)
    assert.equal("lab", policy:replay(rec("a.pcap"), { cell_name = "lab" }):records()[1].cell_id)
  end)

  it("counts what ran for cellflow test --coverage", function()
    place:write("a.rec", made.bytes(300))
    os.execute("mkdir " .. rec("spec"))
    place:write("spec/a_spec.lua", [[
      local testing = require("cellflow.testing")
      it("a", function() assert.equal(0, testing.load("a.lua"):replay("a.rec"):count { dst_port = 9 }) end)
    ]])
    place:write("a.lua", 'allow "web" { dst_port = 443 }\ndeny "never" { dst_port = 9 }\n')
    local code, out, err = place:run("test --coverage")
    assert.equal(0, code, out)
    assert.truthy(err:find("a.lua: 2 of 2 lines ran (100.0 %), 1 of 2 rules matched", 1, true), err)
  end)

  describe("tells mistakes where they were made:", function()
    local policy
    before_each(function()
      place:write("a.rec", made.bytes(50))
      policy = testing.load(path)
    end)

    -- fn must fail at its own first line, with these texts.
    local function fails(fn, ...)
      local ok, err = pcall(fn)
      assert.is_false(ok)
      local where = ("spec/system/testing_replay_spec.lua:%d: "):format(debug.getinfo(fn, "S").linedefined + 1)
      assert.equal(where, tostring(err):sub(1, #where), tostring(err))
      for _, text in ipairs({ ... }) do assert.truthy(err:find(text, 1, true), err) end
    end

    it("files", function()
      fails(function()
        policy:replay(rec("none.rec"))
      end, "replay: ", "none.rec: cannot be opened: No such file")
      place:write("empty.rec", "")
      fails(function()
        policy:replay(rec("empty.rec"))
      end, "replay: ", "empty.rec")
      place:write("cut.rec", made.bytes(4000, { flush = 2 }):sub(1, 60000))
      fails(function()
        policy:replay(rec("cut.rec"))
      end, "cut.rec", " events")
      local other = recordings.new(rec("b.rec"), { recording = 99 })
      other:close(1)
      fails(function()
        policy:replay({ rec(), rec("b.rec") })
      end, "another recording begins (give its files to a replay of their own), after 50 events")
      fails(function()
        policy:replay({})
      end, "replay: the file must be text or a list of texts, got nil")
      fails(function()
        policy:replay(7)
      end, "replay: the file must be text or a list of texts, got 7")
      local many = {}
      for i = 1, 257 do many[i] = rec() end
      fails(function()
        policy:replay(many)
      end, "replay: 257 files, and 256 is the most")
    end)

    it("a recording without an end is no mistake, and told", function()
      local it = recordings.new(rec("cut.rec"))
      it:batch(0.1, { {} })
      it:close(1, { cut = true })
      local replay = policy:replay(rec("cut.rec"))
      assert.same({ false, 1 }, { replay.summary.whole, replay.summary.events })
    end)

    it("options", function()
      fails(function()
        policy:replay(rec(), { kep = 1 })
      end, 'replay: unknown option "kep" (did you mean "keep"?)')
      fails(function()
        policy:replay(rec(), { keep = -1 })
      end, "replay: keep must be a whole number from 0 to 1000000, got -1")
      fails(function()
        policy:replay(rec(), { each = 7 })
      end, "replay: each must be a function, got 7")
      fails(function()
        policy:replay(rec(), { cell_net = "10.0.0.0/8" })
      end, "are for captures")
      fails(function()
        policy:replay(rec(), { cell_net = "everywhere" })
      end, "everywhere")
    end)

    it("questions", function()
      local replay = policy:replay(rec())
      fails(function()
        replay:count { dst_prt = 3 }
      end, 'a record has no field "dst_prt" (did you mean "dst_port"?)')
      fails(function()
        replay:records("deny")
      end, 'records are chosen by a table of fields, got "deny"')
      fails(function()
        replay.cuont()
      end, 'a replay has no "cuont" (did you mean "count"?)')
      fails(function()
        replay:counter("hit")
      end, 'the policy has used no counter "hit" so far')
    end)

    it("a policy that does not come back", function()
      place:write("a.lua", "function verdict(ev) while true do end end\n")
      policy = testing.load(path)
      fails(function()
        policy:replay(rec())
      end, "a.lua:1: not back after 10 million instructions")
    end)
  end)
end)
