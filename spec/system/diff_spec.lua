-- SPDX-License-Identifier: MIT
-- `cellflow diff` as a user runs it: its counts against a join, by decision id, of what two replays wrote; its exit
-- codes; what it says of policies that do not load and recordings that are damaged.
local capture_bytes = require("capture_bytes")
local dkjson = require("dkjson")
local made = require("made_recording")
local packet = require("packet")
local recordings = require("replay_recording")
local seeded = require("seeded")
local strict_json = require("strict_json")
local verb = require("verb")

local PORTS = { "443", "80", "53", "22", "5432", "8080", '"1-1000"', '"5000-"', "{ 22, 80 }" }
local NETWORKS = { "0/24", "0/28", "16/29", "4/30", "8/30", "12/31", "1", "2", "3", "7", "9", "15", "20" }
local CHANGED = { "decision", "reason_code", "rule" }

-- A policy of random rules; some drop records by dedup or format.
local function random_policy(r, rules)
  local lines = {}
  for i = 1, rules do
    lines[#lines + 1] = ('%s "r%d" { dst_addr = "10.77.200.%s", dst_port = %s%s }'):format(
      r:pick({ "allow", "deny" }), r:below(3) * 1000 + i, r:pick(NETWORKS), r:pick(PORTS),
      r:below(3) == 0 and (', reason = "because_%d"'):format(r:below(3)) or "")
  end
  local hooks = {
    "", "function verdict(ev) if ev.family == 'ipv6' then return 'deny', 'v' .. ev.dst_port % 3 end end",
    "function dedup(ev) return ev.dst_addr .. (ev.dst_port or ''), 0.01 end",
    "function format(record) if record.dst_port == 80 then return nil end return record end",
    "function reason(ev, decision, code) if ev.protocol == 'udp' then return code .. ev.src_port end end",
    "default { decision = 'deny' }",
  }
  lines[#lines + 1] = r:pick(hooks)
  lines[#lines + 1] = r:pick({ "", "", hooks[6] })
  if lines[#lines] == lines[#lines - 1] then lines[#lines] = nil end
  return table.concat(lines, "\n") .. "\n"
end

describe("diff", function()
  local place

  before_each(function() place = verb.open() end)
  after_each(function() place:close() end)

  local function records(policy)
    local code, out, err = place:run(("replay -q -c %s a.rec"):format(policy))
    assert.equal(0, code, err)
    local list, by_id = {}, {}
    for line in out:gmatch("([^\n]*)\n") do
      local record = dkjson.decode(line)
      assert.is_nil(by_id[record.decision_id])
      list[#list + 1], by_id[record.decision_id] = record, record
    end
    return list, by_id
  end

  local function said(record)
    if not record then return "none" end
    return table.concat({ record.decision, record.reason_code, record.rule or "" }, " ")
  end

  -- What diff should find: counts, and how many changes there are by key.
  local function expected()
    local olds, old_of = records("a.lua")
    local news, new_of = records("b.lua")
    local counts = { decision = 0, reason = 0, rule = 0, presence = 0 }
    local changed, groups, number = 0, {}, 0
    local function compare(old, new)
      local any = not old or not new
      counts.presence = counts.presence + (any and 1 or 0)
      for i, name in ipairs({ "decision", "reason", "rule" }) do
        if old and new and old[CHANGED[i]] ~= new[CHANGED[i]] then
          counts[name], any = counts[name] + 1, true
        end
      end
      if not any then return end
      local of = old or new
      local key = table.concat({ said(old), said(new), of.dst_addr, tostring(of.dst_port), of.protocol }, "|")
      if not groups[key] then number = number + 1 end
      groups[key], changed = (groups[key] or 0) + 1, changed + 1
    end
    for _, old in ipairs(olds) do compare(old, new_of[old.decision_id]) end
    for _, new in ipairs(news) do
      if not old_of[new.decision_id] then compare(nil, new) end
    end
    return { counts = counts, changed = changed, groups = groups, number = number, olds = #olds, news = #news,
      old_of = old_of, new_of = new_of }
  end

  local function key_of(change)
    local function side(it)
      return it.record and said(it) or "none"
    end
    return table.concat({ side(change.old), side(change.new), change.dst_addr, tostring(change.dst_port),
      change.protocol }, "|")
  end

  local function check_changes(found, truth)
    local before
    for _, change in ipairs(found.changes) do
      assert.equal(truth.groups[key_of(change)], change.count, key_of(change))
      truth.groups[key_of(change)] = nil
      assert.is_true(not before or before >= change.count)
      before = change.count
      local id = change.example.decision_id
      local old, new = truth.old_of[id], truth.new_of[id]
      assert.same({ said(old), said(new) }, { change.old.record and said(change.old) or "none",
        change.new.record and said(change.new) or "none" })
      assert.same({ old and old.decided_at, new and new.decided_at }, { change.old.decided_at, change.new.decided_at })
      local any = old or new
      for _, name in ipairs({ "cell_id", "src_addr", "src_port", "dst_addr", "kind", "observed_at" }) do
        assert.equal(any[name], change.example[name])
      end
    end
  end

  it("counts what a join of two replays counts, for random policies", function()
    local r = seeded.new(20261123)
    for round = 1, 8 do
      place:write("a.rec", made.bytes(3000, { seed = round }))
      place:write("a.lua", random_policy(r, 5 + r:below(30)))
      place:write("b.lua", random_policy(r, 5 + r:below(30)))
      local truth = expected()
      local code, out, err = place:run("diff a.lua b.lua -o json --limit 65536 a.rec")
      assert.equal(truth.changed > 0 and 1 or 0, code, err)
      local found = dkjson.decode(out)
      assert.same({ truth.counts, truth.changed, truth.number, truth.olds, truth.news, 3000, true },
        { found.changed_by, found.changed, found.groups, found.old.records, found.new.records, found.events,
          found.whole })
      check_changes(found, truth)
      assert.is_nil(next(truth.groups))
      local _, again = place:run("diff a.lua b.lua -o json --limit 65536 a.rec")
      assert.is_true(out == again)
    end
  end)

  it("finds no difference between a policy and itself", function()
    place:write("a.rec", made.bytes(2000))
    place:write("a.lua", random_policy(seeded.new(5), 20))
    local code, out, err = place:run("diff a.lua a.lua a.rec")
    assert.equal(0, code, err)
    assert.truthy(out:find("no difference in 2000 events", 1, true), out)
    assert.equal(0, (place:run("diff a.lua a.lua -o json a.rec")))
  end)

  local function two_policies()
    local it = recordings.new(place.path .. "/a.rec")
    it:batch(0.1, { { dst_port = 443 }, { dst_port = 22 }, { dst_port = 22, cell = 1 }, { dst_port = 80 } })
    it:close(1)
    place:write("a.lua", 'allow "web" { dst_port = { 443, 80 } }\nallow "ssh" { dst_port = 22 }\n')
    place:write("b.lua", '\nallow "web" { dst_port = 443 }\ndeny "no-ssh\27[31m" { dst_port = 22 }\n' ..
      'function format(r) if r.dst_port ~= 80 then return r end end\n')
  end

  it("shows people the groups, most frequent first, with the lines that decided", function()
    two_policies()
    local code, out = place:run("diff a.lua b.lua a.rec")
    assert.equal(1, code)
    assert.equal([[
- a.lua: 4 records
+ b.lua: 3 records, 1 suppressed
3 of 4 events changed: decision 2, reason 2, rule 2, presence 1 (1 gone, 0 new)

        2 10.0.0.1:22/tcp
          - allow policy_allow, rule "ssh", at a.lua:2
          + deny policy_deny, rule "no-ssh\u001b[31m", at b.lua:3
            e.g. opened in web: 10.0.0.0:40000 -> 10.0.0.1:22 at 2026-11-18T12:30:00.100000000Z, decision ID

        1 10.0.0.1:80/tcp
          - allow policy_allow, rule "web", at a.lua:1
          + no record: format gave none
            e.g. opened in web: 10.0.0.0:40000 -> 10.0.0.1:80 at 2026-11-18T12:30:00.100000000Z, decision ID
]], (out:gsub("decision %x+%-[%x%-]+", "decision ID")))
    local _, short = place:run("diff a.lua b.lua --limit 1 a.rec")
    assert.truthy(short:find("\n        1 more in 1 other groups (--limit)\n", 1, true), short)
  end)

  it("writes one strict JSON object", function()
    if not strict_json.available then return pending(strict_json.missing) end
    two_policies()
    local code, out = place:run("diff a.lua b.lua -o json a.rec")
    assert.equal(1, code)
    assert.equal(1, select(2, out:gsub("\n", "")))
    assert.is_true(strict_json.is_object(out, #out))
    assert.equal("no-ssh\27[31m", dkjson.decode(out).changes[1].new.rule)
  end)

  it("compares texts that are too many to remember, or too long to show", function()
    place:write("a.rec", made.bytes(40000, { seed = 3 }))
    place:write("a.lua", "local n = 0\nfunction reason(ev) n = n + 1 return 'r' .. n end\n")
    assert.equal(0, (place:run("diff a.lua a.lua a.rec")))
    place:write("b.lua", "local n = 0\nfunction reason(ev) n = n + 1 return n == 39990 and 'x' or 'r' .. n end\n")
    local code, out = place:run("diff a.lua b.lua -o json a.rec")
    assert.equal(1, code)
    assert.equal(1, dkjson.decode(out).changed)
    place:write("a.lua", "function reason(ev) return ('x'):rep(5000) end\n")
    place:write("b.lua", "function reason(ev) return ('x'):rep(4999) .. 'y' end\n")
    code, out = place:run("diff a.lua b.lua -o json a.rec")
    assert.same({ 1, 40000, 512 }, { code, dkjson.decode(out).changed, #dkjson.decode(out).changes[1].old.reason_code })
  end)

  it("counts changes beyond the groups that it can hold", function()
    place:write("a.rec", made.bytes(70000, { seed = 4 }))
    place:write("a.lua", "local n = 0\nfunction reason(ev) n = n + 1 return 'r' .. n end\n")
    place:write("b.lua", "")
    local code, out = place:run("diff a.lua b.lua -o json --limit 1 a.rec")
    local found = dkjson.decode(out)
    assert.same({ 1, 70000, 65536, 70000 - 65536 }, { code, found.changed, found.groups, found.not_grouped })
  end)

  describe("in trouble", function()
    local function fails(words, ...)
      local code, out, err = place:run("diff " .. words)
      assert.same({ 2, "" }, { code, out }, err)
      for _, text in ipairs({ ... }) do assert.truthy(err:find(text, 1, true), err) end
      return err
    end

    it("says which policy does not load", function()
      two_policies()
      place:write("bad.lua", "allow 'x' { dst_prot = 1 }\n")
      assert.is_nil(fails("a.lua bad.lua a.rec", "bad.lua:1"):find("a.lua:", 1, true))
      fails("bad.lua a.lua a.rec", "bad.lua:1")
      fails("a.lua none.lua a.rec", "none.lua")
    end)

    it("says what is wrong with a command line", function()
      two_policies()
      fails("a.lua a.rec", "want two policies and at least one recording")
      fails("a.lua b.lua a.rec -o xml", '"xml"')
      fails("a.lua b.lua a.rec --limit -1", "--limit")
      fails("a.lua b.lua none.rec", "none.rec")
    end)

    it("says which policy hangs or is ended", function()
      two_policies()
      place:write("b.lua", "limits { stuck_s = 1 }\nfunction verdict(ev) while true do end end\n")
      fails("a.lua b.lua a.rec", "verdict at b.lua:2 did not come back", "b.lua: its replay did not come to its end")
    end)

    it("compares what can be read of a damaged recording, once, and tells", function()
      local bytes = made.bytes(4000, { flush = 2 })
      place:write("a.rec", bytes:sub(1, math.floor(#bytes / 2)))
      place:write("a.lua", "")
      place:write("b.lua", "default { decision = 'deny' }\n")
      local code, out, err = place:run("diff a.lua b.lua -o json a.rec")
      local found = dkjson.decode(out)
      assert.same({ 2, false }, { code, found.whole })
      assert.is_true(found.events > 0 and found.events < 4000)
      assert.equal(1, select(2, err:gsub("a%.rec", "")))
      place:write("a.rec", "cellflow, but no recording")
      fails("a.lua b.lua a.rec", "a.rec")
    end)

    it("tells of a disk that is full", function()
      two_policies()
      assert.equal(2, os.execute(("cd %s && %s diff a.lua b.lua a.rec >/dev/full 2>stderr; exit $?"):format(place.path,
        place.program)) / 256)
    end)
  end)

  it("compares on captures, which have the same events whatever the policies' timeouts", function()
    local list = {}
    for i = 0, 40 do
      list[#list + 1] = { sec = 1795005000 + 40 * (i % 4) + i, bytes = packet.frame4(packet.UDP,
        packet.udp({ src = 1000 + i % 3, dst = 53, payload = "query" }), { src = "10.77.0.2", dst = "192.0.2.9" }) }
    end
    table.sort(list, function(a, b) return a.sec < b.sec end)
    place:write("a.pcap", capture_bytes.pcap(list))
    place:write("a.lua", "flows { udp_idle = 10 }\n")
    place:write("b.lua", 'deny "dns" { direction = "ingress", dst_port = 53 }\n')
    local words = "diff a.lua b.lua -o json a.pcap"
    local code, out, err = place:run(words)
    assert.equal(0, code, err)
    assert.equal(0, dkjson.decode(out).changed)
    code, out = place:run(words .. " --cell-net dns=192.0.2.0/24")
    local found = dkjson.decode(out)
    assert.same({ 1, found.events, "dns" }, { code, found.changed, found.changes[1].example.cell_id })
    local _, by_mac = place:run(words .. " --cell-mac dns=02:00:00:00:00:02")
    assert.equal(out, by_mac)
    _, out = place:run(words .. " --cell-net 192.0.2.0/24 --cell-name resolver --events opened,closed")
    local more = dkjson.decode(out)
    assert.is_true(more.events > found.events)
    assert.equal("resolver", more.changes[1].example.cell_id)
    assert.equal(2, (place:run(words .. " --cell-net everywhere")))
  end)

  it("needs no privileges and no network", function()
    two_policies()
    os.execute(("chmod 755 %s && cp %s %s/cellflow"):format(place.path, place.program, place.path))
    os.execute(("cd %s && unshare -n setpriv --reuid nobody --clear-groups --inh-caps=-all ./cellflow diff " ..
      "a.lua b.lua a.rec >stdout; echo $? >code"):format(place.path))
    local function read(name)
      local file = assert(io.open(place.path .. "/" .. name))
      local text = file:read("*a")
      file:close()
      return text
    end
    assert.equal("1\n", read("code"))
    assert.truthy(read("stdout"):find("3 of 4 events changed", 1, true))
  end)
end)
