-- SPDX-License-Identifier: MIT
-- `cellflow replay` as a user runs it: the same bytes whatever the surroundings, in the recording's time, by the
-- recorded policy and by others, and what it says of recordings that are damaged or policies that fail.
local dkjson = require("dkjson")
local made = require("made_recording")
local recordings = require("replay_recording")
local seeded = require("seeded")
local verb = require("verb")

local POLICY = [[
allow "dns" { protocol = "udp", dst_port = 53 }
allow "https" { protocol = "tcp", dst_port = 443, dst_addr = { "10.77.200.0/28", "fd77::/32" } }
deny "no-ssh" { protocol = "tcp", dst_port = 22, reason = "ssh_egress" }
default { decision = "deny", reason = "not_declared" }
local seen, busy = counter("seen"), window(1)
function dedup(ev) return ev.dst_addr .. ":" .. (ev.dst_port or ""), 0.05 end
on("opened", function(ev) seen:add(1) busy:add(ev.dst_addr) end)
every(0.25, function(now) emit { type = "tick", at = now, top = busy:top(2), seen = seen:get() } end)
]]
-- Its digest is the one that the recording has.
local AS_RECORDED = ('metadata { policy_digest = "%s", keyset_id = "in-file" }\n'):format(recordings.DIGEST)
local TELLS = [[
on("start", function() emit { type = "start" } end)
on("stop", function() emit { type = "stop" } end)
on("lost", function(lost) emit { type = "lost", count = lost.count, total = lost.total } end)
local n = 0
on("opened", function(ev) n = n + 1 emit { type = "event", n = n, time = ev.time } end)
every(1, function(now) emit { type = "tick", at = now } end)
]]
local DAY = 1795005000 -- of the recording's begin, in seconds

describe("replay", function()
  local place

  before_each(function() place = verb.open() end)
  after_each(function() place:close() end)

  local function lines(out)
    local list = {}
    for line in out:gmatch("([^\n]*)\n") do list[#list + 1] = assert(dkjson.decode(line), line) end
    return list
  end

  local function since(time) return math.floor((time - DAY) * 1000 + 0.5) / 1000 end -- of a double, ms are exact

  -- What a policy emitted besides the records, as words: "tick 1", "event 2 at 0.5".
  local function told(out)
    local list = {}
    for _, line in ipairs(lines(out)) do
      local word = line.type
      if word == "event" then word = ("event %d at %g"):format(line.n, since(line.time)) end
      if word == "tick" then word = ("tick at %g"):format(since(line.at)) end
      if word == "lost" then word = ("lost %d of %d"):format(line.count, line.total) end
      if word ~= "network_flow_decision" then list[#list + 1] = word end
    end
    return list
  end

  local function sh(words, ...)
    local pipe = io.popen(("cd %s && { %s; } 2>stderr; echo $?"):format(place.path, words:format(...)))
    local out = pipe:read("*a")
    pipe:close()
    local text, code = out:match("^(.-)(%d+)\n$")
    return tonumber(code), text
  end

  describe("of bulk traffic", function()
    local _, expected

    before_each(function()
      place:write("a.rec", made.bytes(20000, { seed = 5, flush = 8 }))
      place:write("p.lua", POLICY)
      _, expected = place:run("replay -q --summary-record -c p.lua a.rec")
    end)

    it("writes one record for each event, with its own times and cells", function()
      local code, out, err = place:run("replay --summary-record a.rec")
      assert.equal(0, code, err)
      local records = lines(out)
      local summary = table.remove(records)
      assert.equal(20000, #records)
      assert.same({ "cellflow_summary", true, 20000, 0, 20000, true }, { summary.type, summary.adds_up,
        summary.recording.events, summary.lost, summary.worker.records, summary.recording.whole })
      assert.truthy(records[1].observed_at:find("^2026%-11%-18T12:30:00%.0000"))
      assert.same({ "run-7", "eth0", 1 }, { records[1].run_id, records[1].interface, records[1].generation })
      local ids = {}
      for _, record in ipairs(records) do
        assert.truthy(record.cell_id:find("^cell%-[012]$"))
        assert.is_nil(ids[record.decision_id])
        ids[record.decision_id] = true
      end
    end)

    it("gives the same bytes in any time zone and locale, on one CPU, and on a terminal", function()
      assert.truthy(expected:find('"type":"tick"', 1, true))
      assert.truthy(expected:find('"counters":[{"name":"seen"', 1, true))
      for _, words in ipairs({ "%s", "TZ=Pacific/Auckland %s", "LC_ALL=tr_TR.UTF-8 LANG=de_DE %s", "taskset -c 0 %s",
        "env -i %s", "CELLFLOW_PACE=max nice %s", "%s | cat", "true | %s" }) do
        local _, out = sh(words, place.program .. " replay -q --summary-record -c p.lua a.rec")
        assert.is_true(out == expected, words)
      end
      sh("script -qec '%s replay --summary-record -c p.lua a.rec >on_tty' /dev/null </dev/null", place.program)
      local file = assert(io.open(place.path .. "/on_tty"))
      assert.is_true(file:read("*a") == expected)
      file:close()
    end)

    it("needs no privileges and no network", function()
      os.execute(("chmod 755 %s; chmod 644 %s/*"):format(place.path, place.path))
      local code, out = sh("unshare -n setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs " ..
        "--bounding-set -all %s replay -q --summary-record -c p.lua a.rec", place.program)
      assert.equal(0, code)
      assert.is_true(out == expected)
    end)

    it("goes as far as a damaged recording can be read, says how far, and exits with 1", function()
      local bytes = made.bytes(20000, { seed = 5, flush = 8 })
      for _, damaged in ipairs({ bytes:sub(1, math.floor(#bytes / 2)),
        bytes:sub(1, 100000) .. string.char((bytes:byte(100001) + 1) % 256) .. bytes:sub(100002) }) do
        place:write("b.rec", damaged)
        local code, out, err = place:run("replay -c p.lua b.rec")
        assert.equal(1, code)
        local events = tonumber(err:match("readable before it: (%d+) events"))
        assert.is_true(events > 0 and events < 20000, err)
        assert.truthy(err:find("summary: " .. events .. " events", 1, true), err)
        -- Never another record than the whole recording gives; only what the policy says at the end may come earlier.
        assert.is_true(#out > 1000 and expected:sub(1, #out - 1000) == out:sub(1, #out - 1000))
      end
    end)

    it("never writes a record that the whole recording does not give, wherever it is damaged", function()
      local bytes = made.bytes(3000, { seed = 6, flush = 2 })
      place:write("b.rec", bytes)
      local _, whole = place:run("replay -q b.rec")
      local random, readable = seeded.new(11), 0
      for _ = 1, 60 do
        local at, bit_value = random:below(#bytes) + 1, 2 ^ random:below(8)
        local byte = bytes:byte(at)
        local flipped = math.floor(byte / bit_value) % 2 == 1 and byte - bit_value or byte + bit_value
        place:write("b.rec", bytes:sub(1, at - 1) .. string.char(flipped) .. bytes:sub(at + 1))
        local code, out, err = place:run("replay -q b.rec")
        assert.equal(1, code)
        assert.truthy(err:find("b.rec: ", 1, true), err)
        assert.is_true(#out < #whole and whole:sub(1, #out) == out)
        readable = readable + (#out > 0 and 1 or 0)
      end
      assert.is_true(readable > 20)
    end)

    it("refuses what is no recording", function()
      place:write("empty.rec", "")
      place:write("text.rec", ("not a recording\n"):rep(100))
      local other = made.bytes(10)
      place:write("other.rec", other:sub(1, 8) .. "\9\0" .. other:sub(11))
      os.execute("mkfifo " .. place.path .. "/fifo.rec")
      for name, why in pairs({ ["empty.rec"] = "is empty", ["text.rec"] = "is no recording", ["."] = "a directory",
        ["fifo.rec"] = "is a FIFO, want a recording", ["/dev/zero"] = "is no regular file, want a recording",
        ["other.rec"] = "is a recording of version 9.0, and this cellflow reads version 1",
        ["none.rec"] = "cannot be opened" }) do
        for _, words in ipairs({ "replay -c p.lua ", "summary ", "coverage p.lua ", "suggest " }) do
          local code, out, err = place:run(words .. name)
          assert.same({ 1, "" }, { code, out }, words .. name)
          assert.truthy(err:find(why, 1, true), err)
          assert.is_nil(err:find("summary:", 1, true))
        end
        local code, out, err = place:run("diff p.lua p.lua " .. name)
        assert.same({ 2, "" }, { code, out }, name)
        assert.truthy(err:find(why, 1, true), err)
      end
      -- Behind one that is whole, it ends there.
      for name, why in pairs({ ["other.rec"] = "of version 9.0", ["fifo.rec"] = "is a FIFO", ["."] = "a directory" }) do
        local code, out, err = place:run("replay -q --summary-record -c p.lua a.rec " .. name)
        assert.equal(1, code)
        assert.truthy(err:find(name .. ": ", 1, true) and err:find(why, 1, true), err)
        assert.is_true(#out > 1000 and out:sub(1, #expected - 2000) == expected:sub(1, #expected - 2000))
      end
    end)

    it("draws progress on a terminal only, and none when told to be quiet", function()
      local function on_terminal(words)
        sh("script -qec '%s replay %s --pace 1x >out' tty </dev/null >/dev/null", place.program, words)
        local file = assert(io.open(place.path .. "/tty"))
        local text = file:read("*a")
        file:close()
        return text
      end
      local shown = on_terminal("-c p.lua a.rec")
      assert.truthy(shown:find("\r%[#*%.*%] +%d+ %%  [%d.]+ [kM]?%s?events/s  %d+:%d%d left"), shown)
      local it = recordings.new(place.path .. "/b.rec")
      it:batch(0.2, { {}, {} })
      it:batch(1.2, { {} })
      it:close(1.4)
      local slow = on_terminal("b.rec")
      assert.truthy(slow:find(" %%  %d+ events/s  %d+:%d%d left"), slow)
      assert.truthy(shown:find("\r\27[K", 1, true)) -- and is taken away again
      assert.is_nil(on_terminal("-q -c p.lua a.rec"):find("%", 1, true))
      local _, _, err = place:run("replay --pace 1x -c p.lua a.rec")
      assert.is_nil(err:find("\r", 1, true))
    end)

    it("colours decisions on a terminal, unless NO_COLOR is set or it is told not to", function()
      local function on_terminal(before, words)
        sh("script -qec 'env %s %s replay -q -o compact --limit 3 %s a.rec' tty </dev/null >/dev/null", before,
          place.program, words)
        local file = assert(io.open(place.path .. "/tty"))
        local text = file:read("*a")
        file:close()
        assert.truthy(text:find("allow", 1, true), text)
        return text:find("\27[32mallow\27[0m", 1, true) ~= nil
      end
      assert.same({ true, false, false, true }, { on_terminal("-u NO_COLOR", ""), on_terminal("NO_COLOR=1", ""),
        on_terminal("-u NO_COLOR", "--color never"), on_terminal("NO_COLOR=1", "--color always") })
      local _, out = place:run("replay -q -o compact --limit 3 a.rec")
      assert.is_nil(out:find("\27", 1, true))
    end)

    it("ends on a signal with what was decided so far", function()
      local code, out = sh("timeout -s INT 0.5 %s replay --pace 0.1x -c p.lua a.rec", place.program)
      assert.equal(124, code)
      local file = assert(io.open(place.path .. "/stderr"))
      local err = file:read("*a")
      file:close()
      local events = tonumber(err:match("ended by a signal, after (%d+) events"))
      assert.is_true(events < 20000, err)
      assert.truthy(err:find("summary: " .. events .. " events", 1, true), err)
      assert.is_true(expected:sub(1, #out) == out)
    end)

    it("takes a reader that goes for the end, and a full disk for a failure", function()
      local code = sh("bash -c '%s replay a.rec | head -1 >/dev/null; exit ${PIPESTATUS[0]}'", place.program)
      assert.equal(0, code)
      assert.equal(1, (sh("%s replay a.rec > /dev/full", place.program)))
    end)
  end)

  describe("in the recording's time", function()
    local function record(options, fill)
      local it = recordings.new(place.path .. "/a.rec", options)
      fill(it)
    end

    it("ticks another policy's timers between the events, each at its own time", function()
      record(nil, function(it)
        it:moment(0.5, "start")
        it:batch(0.75, { { at = 0.6 }, { at = 0.7 } })
        it:moment(1, "timer")
        it:batch(3.25, { { at = 3.2 } })
        it:moment(3.5, "stop")
        it:close(4.25)
      end)
      place:write("p.lua", TELLS)
      local code, out, err = place:run("replay -c p.lua a.rec")
      assert.equal(0, code, err)
      assert.same({ "start", "event 1 at 0.6", "event 2 at 0.7", "tick at 1", "tick at 2", "tick at 3",
        "event 3 at 3.2", "tick at 4", "stop" }, told(out))
    end)

    it("follows the recorded moments with the recorded policy, and begins anew where its worker did", function()
      record({ generation = 3, keyset_id = "as-run" }, function(it)
        it:moment(0.1, "start")
        it:batch(0.75, { { at = 0.6 } })
        it:moment(1.9, "timer")
        it:batch(3, { { at = 2.5 } })
        it:moment(3, "lost", 4, 9)
        it:moment(3.5, "start") -- the worker had been killed
        it:batch(4, { { at = 4 } })
        it:loss(4, { ring_full = 5 })
        it:moment(5, "stop")
        it:generation({ generation = 4, digest = recordings.DIGEST, keyset_id = "as-run", at = 5 })
        it:moment(5.25, "start")
        it:batch(6, { { at = 6 } })
        it:close(9, { cut = true })
      end)
      place:write("p.lua", AS_RECORDED .. TELLS)
      local _, out, err = place:run("replay -c p.lua a.rec")
      assert.same({ "start", "event 1 at 0.6", "tick at 1.9", "event 2 at 2.5", "lost 4 of 9", "start", "event 1 at 4",
        "stop", "start", "event 1 at 6" }, told(out))
      assert.truthy(err:find("has no end", 1, true))
      local generations = {}
      for _, line in ipairs(lines(out)) do
        if line.generation then generations[#generations + 1] = line.generation end
        if line.generation then assert.equal("as-run", line.keyset_id) end
      end
      assert.same({ 3, 3, 3, 4 }, generations)
    end)

    it("has one life of another policy, generation 1, its own metadata, and the recorded losses", function()
      record({ generation = 3, keyset_id = "as-run", run_id = "recorded" }, function(it)
        it:moment(0.1, "start")
        it:batch(0.25, { { at = 0.2 } })
        it:moment(0.3, "start")
        it:loss(0.4, { ring_full = 5, flow_full = 2, nflog_overrun = 1 })
        it:moment(0.5, "lost", 7, 7)
        it:loss(0.6, { ring_full = 1 })
        it:batch(0.75, { { at = 0.7 } })
        it:close(0.9)
      end)
      place:write("p.lua", 'metadata { keyset_id = "in-file" }\n' .. TELLS)
      local code, out = place:run("replay --fail-on loss --summary-record -c p.lua a.rec")
      assert.equal(7, code)
      local list = lines(out)
      local summary = table.remove(list)
      assert.same({ 8, 6, 2, 1 }, { summary.lost, summary.recording.lost.ring_full, summary.recording.lost.flow_full,
        summary.recording.lost.nflog_overrun })
      local words = told(out)
      table.remove(words)
      assert.same({ "start", "event 1 at 0.2", "lost 7 of 7", "lost 1 of 8", "event 2 at 0.7", "stop" }, words)
      for _, line in ipairs(list) do
        if line.generation then
          assert.same({ 1, "in-file", "recorded" }, { line.generation, line.keyset_id, line.run_id })
        end
      end
      local _, named = place:run("replay -q --run-id mine -c p.lua a.rec")
      assert.truthy(named:find('"run_id":"mine"', 1, true))
    end)

    it("opens dedup windows and tells the time of day by it", function()
      record(nil, function(it)
        it:batch(1, { { at = 0.1 }, { at = 0.2 }, { at = 0.5 } })
        it:clock(1.5, 60)
        it:batch(61, { { at = 60.2 }, { at = 60.4 } })
        it:close(62)
      end)
      place:write("p.lua", 'function dedup(ev) return "k", 0.35 end\n')
      local _, out = place:run("replay -q -c p.lua a.rec")
      local times = {}
      for _, line in ipairs(lines(out)) do times[#times + 1] = line.observed_at end
      assert.same({ "2026-11-18T12:30:00.100000000Z", "2026-11-18T12:30:00.500000000Z",
        "2026-11-18T12:32:00.200000000Z" }, times)
    end)

    it("keeps the pace that was asked for, and refuses others", function()
      record(nil, function(it)
        it:batch(0.1, { {} })
        it:batch(0.7, { {} })
        it:close(0.8)
      end)
      local clock = require("spec.helper").core.cf_monotonic_seconds
      local from = clock()
      local code = place:run("replay -q --pace 2x a.rec")
      assert.equal(0, code)
      assert.is_true(clock() - from >= 0.35) -- never before its time
      local _, _, err = place:run("replay --pace fast a.rec")
      assert.truthy(err:find('--pace: want a multiple', 1, true))
    end)
  end)

  describe("with policies", function()
    local function two_events(options)
      local it = recordings.new(place.path .. "/a.rec", options)
      it:batch(0.25, { { cell = 0, dst_port = 22 }, { cell = 1 }, { cell = 7 } })
      it:close(1)
    end

    it("has the cells of the recording, whatever the policy declares; of others it knows nothing", function()
      two_events()
      place:write("p.lua", 'cell "mine" { netns = "none", interface = "x0" }\noutput "json" { path = "out.jsonl" }\n')
      local code, out = place:run("replay --summary-record -c p.lua a.rec")
      assert.equal(0, code)
      local list = lines(out)
      assert.same({ "web", "eth1", "db", "eth2" }, { list[1].cell_id, list[1].interface, list[2].cell_id,
        list[2].interface })
      assert.same({ 3, 1, 1 }, { #list, list[3].worker.refused, list[3].lost })
      assert.is_nil(io.open(place.path .. "/out.jsonl")) -- what a policy declares for live runs stays as it is
    end)

    it("fails on what it was told to fail on", function()
      two_events()
      place:write("p.lua", 'deny "ssh" { dst_port = 22 }\nfunction verdict(ev) return nil + 1 end\n')
      local function code(words) return (place:run("replay -q -c p.lua a.rec " .. words)) end
      assert.same({ 0, 8, 4, 7, 4 }, { code(""), code("--fail-on deny"), code("--fail-on script-error"),
        code("--fail-on loss"), code("--fail-on deny --fail-on loss --fail-on script-error") })
    end)

    it("writes what was selected, in the form that was asked for", function()
      two_events()
      local code, out, err = place:run("replay --summary-record -o csv --cell db a.rec")
      assert.equal(0, code, err)
      local header, record, rest = out:match("^([^\n]*)\n([^\n]*)\n(.*)$")
      assert.truthy(header:find("schema_version,type,kind,cell_id", 1, true))
      assert.truthy(record:find("network_flow_decision,opened,db,", 1, true))
      local summary = lines(rest)[1]
      assert.same({ 1, 1, 1, true }, { summary.worker.records, summary.worker.filtered, summary.outputs[1].extra,
        summary.adds_up })
      local _, one = place:run("replay -q --limit 1 a.rec")
      assert.equal(1, #lines(one))
      local _, none = place:run("replay -q --since 2026-11-18T12:30:01Z a.rec")
      assert.equal("", none)
    end)

    it("tells a policy that does not load, and wrong words", function()
      two_events()
      place:write("p.lua", "allow 'x' { dst_prot = 1 }\n")
      local code, out, err = place:run("replay -c p.lua a.rec")
      assert.same({ 3, "" }, { code, out })
      assert.truthy(err:find("p.lua:1", 1, true))
      assert.equal(3, (place:run("replay -c none.lua a.rec")))
      assert.equal(2, (place:run("replay")))
      assert.equal(2, (place:run("replay --fail-on rain a.rec")))
    end)

    it("gives the recorded arguments, unless others are given, and reads what is included", function()
      two_events({ args = { "team", "blue" } })
      place:write("more.lua", 'reason_of = nil\n')
      place:write("more.lua", 'on("start", function() emit { type = args.team } end)\n')
      place:write("p.lua", 'include "more.lua"\n')
      local _, out = place:run("replay -q -c p.lua a.rec")
      assert.equal("blue", lines(out)[1].type)
      _, out = place:run("replay -q -c p.lua -a team=red a.rec")
      assert.equal("red", lines(out)[1].type)
    end)

    it("ends one that hangs, and names the function", function()
      two_events()
      place:write("p.lua", 'limits { stuck_s = 1 }\non("start", function() emit { type = "start" } end)\n' ..
        'function verdict(ev) if ev.cell_id == "db" then while true do end end end\n')
      local code, out, err = place:run("replay -c p.lua a.rec")
      assert.equal(1, code)
      assert.equal("start", lines(out)[1].type) -- what was decided before is written
      assert.truthy(err:find("verdict at p.lua:3 did not come back within 1 s", 1, true), err)
    end)

    it("begins one anew that holds more than it may", function()
      place:write("a.rec", made.bytes(60000, { seed = 5 }))
      place:write("p.lua", 'limits { memory_mb = 16 }\nlocal held = {}\n' ..
        'function verdict(ev) held[#held + 1] = ("x"):rep(1000) .. #held end\n' ..
        'on("start", function() emit { type = "start" } end)\n')
      local code, out, err = place:run("replay -c p.lua a.rec")
      assert.equal(0, code)
      local words = told(out)
      assert.is_true(#words > 1 and words[2] == "start", err)
      assert.truthy(err:find("60000 records", 1, true))
    end)
  end)

  describe("of several files", function()
    local function part(name, options, events, ending)
      local it = recordings.new(place.path .. "/" .. name, options)
      for _, at in ipairs(events) do it:batch(at, { { at = at } }) end
      it:close(events[#events], ending)
    end

    before_each(function()
      part("a.rec", nil, { 0.1, 0.2 }, { continues = true })
      part("a.rec.1", { part = 1, at = 0.3 }, { 0.3, 1.4 })
      part("b.rec", { recording = 77, run_id = "run-8" }, { 0.1 })
      place:write("p.lua", TELLS)
    end)

    it("goes on over the parts of a recording", function()
      local code, out, err = place:run("replay -c p.lua a.rec a.rec.1")
      assert.equal(0, code, err)
      assert.same({ "start", "event 1 at 0.1", "event 2 at 0.2", "event 3 at 0.3", "tick at 1", "event 4 at 1.4",
        "stop" }, told(out))
    end)

    it("goes on over a part in which another worker took over", function()
      local it = recordings.new(place.path .. "/a.rec")
      it:batch(0.1, { { at = 0.1 } })
      it:generation({ generation = 1, digest = recordings.DIGEST, at = 0.2 })
      it:batch(0.2, { { at = 0.2 } })
      it:close(0.2, { continues = true })
      local code, out, err = place:run("replay --summary-record -c p.lua a.rec a.rec.1")
      assert.equal(0, code, err)
      local list = lines(out)
      local summary = table.remove(list).recording
      assert.same({ 1, 2, 4 }, { summary.recordings, summary.files, summary.events })
      assert.is_nil(err:find("begins with its part", 1, true))
      assert.same({ "start", "event 1 at 0.1", "event 2 at 0.2", "event 3 at 0.3", "tick at 1", "event 4 at 1.4",
        "stop", "cellflow_summary" }, told(out))
    end)

    it("begins anew with another recording: as if each were replayed by itself", function()
      local _, first = place:run("replay -q -c p.lua a.rec a.rec.1")
      local _, second = place:run("replay -q -c p.lua b.rec")
      local _, both, err = place:run("replay -c p.lua a.rec a.rec.1 b.rec")
      assert.is_true(both == first .. second)
      assert.truthy(err:find("summary: 5 events", 1, true))
    end)

    it("refuses parts that are given in another order, and says so of one that is missing", function()
      local code, _, err = place:run("replay -c p.lua a.rec a.rec")
      assert.equal(1, code)
      assert.truthy(err:find("a.rec: part 0 of the recording was given behind part 0", 1, true), err)
      code, _, err = place:run("replay -c p.lua a.rec.1")
      assert.equal(0, code)
      assert.truthy(err:find("begins with its part 1", 1, true))
    end)
  end)
end)
