-- SPDX-License-Identifier: MIT
-- `cellflow coverage` as a user runs it: its counts against a count of the records that `replay` writes; rules that
-- decided nothing; what no rule covers; exit codes; and every way to ask wrongly or give it less than a recording.
local capture_bytes = require("capture_bytes")
local dkjson = require("dkjson")
local made = require("made_recording")
local packet = require("packet")
local recordings = require("replay_recording")
local seeded = require("seeded")
local strict_json = require("strict_json")
local verb = require("verb")

local PORTS = { "443", "80", "53", "22", "5432", "8080", '"1-1000"', "{ 22, 80 }" }
local HOOKS = {
  "", "function verdict(ev) if ev.family == 'ipv6' then return 'deny', 'six', 'r' .. ev.dst_port % 3 end end",
  "function dedup(ev) return ev.dst_addr .. (ev.dst_port or ''), 0.01 end",
}

local function random_policy(r)
  local lines = {}
  for i = 1, 12 do
    lines[i] = ('%s "r%d" { dst_addr = "10.77.200.0/%d", dst_port = %s }'):format(r:pick({ "allow", "deny" }), i,
      24 + r:below(7), r:pick(PORTS))
  end
  -- Rules that have one place.
  lines[#lines + 1] = 'for i = 1, 3 do deny("loop " .. i) { dst_port = 5000 + i * 144, family = "ipv6" } end'
  lines[#lines + 1] = r:pick(HOOKS)
  lines[#lines + 1] = r:pick({ "", "default { decision = 'deny' }" })
  return table.concat(lines, "\n") .. "\n"
end

describe("coverage", function()
  local place

  before_each(function() place = verb.open() end)
  after_each(function() place:close() end)

  local function coverage(words)
    local code, out, err = place:run("coverage -o json --top 65536 " .. words)
    assert.same({ 0, "" }, { code, err })
    assert.equal(1, select(2, out:gsub("\n", "")))
    if strict_json.available then assert.is_true(strict_json.is_object(out, #out)) end
    return dkjson.decode(out)
  end

  local function key_of(record) return ("%s %s"):format(record.rule, record.decided_at) end

  -- Records by what decided them, and by destination those that no rule did.
  local function counted(words, is_hook)
    local code, out, err = place:run("replay -q " .. words)
    assert.equal(0, code, err)
    local by, open, all = {}, {}, 0
    for line in out:gmatch("[^\n]+") do
      local record = dkjson.decode(line)
      local key = record.decided_at and is_hook(record.decided_at) and "verdict" or key_of(record)
      by[key], all = (by[key] or 0) + 1, all + 1
      if not record.rule and key ~= "verdict" then
        local to = ("%s %s %s"):format(record.dst_addr, record.dst_port, record.protocol)
        open[to] = open[to] or { count = 0, cells = {}, ids = {} }
        open[to].count, open[to].cells[record.cell_id] = open[to].count + 1, true
        open[to].ids[record.decision_id] = record
      end
    end
    return by, open, all
  end

  local function check_uncovered(found, open)
    local sum, before = 0, nil
    for _, group in ipairs(found.uncovered.top) do
      local key = ("%s %s %s"):format(group.dst_addr, group.dst_port, group.protocol)
      local truth = open[key]
      assert.equal(truth.count, group.count, key)
      for _, cell in ipairs(group.cells) do
        assert.is_true(truth.cells[cell])
        truth.cells[cell] = nil
      end
      assert.is_nil(next(truth.cells))
      local record = truth.ids[group.example.decision_id]
      for name, value in pairs(group.example) do assert.equal(record[name], value) end
      assert.is_true(not before or before >= group.count)
      before, open[key], sum = group.count, nil, sum + group.count
    end
    assert.is_nil(next(open))
    assert.equal(sum, found.uncovered.count)
  end

  it("counts what a count of replay's records counts, for random policies", function()
    local r = seeded.new(42)
    for round = 1, 5 do
      place:write("a.rec", made.bytes(800, { seed = round }))
      local text = random_policy(r)
      place:write("a.lua", text)
      local hook
      local number = 0
      for line in text:gmatch("([^\n]*)\n") do
        number = number + 1
        if line:find("function verdict", 1, true) then hook = "a.lua:" .. number end
      end
      local by, open, all = counted("-c a.lua a.rec", function(at) return at == hook end)
      local found = coverage("a.lua a.rec")
      assert.same({ 15, all, all + found.deduplicated }, { #found.rules, found.records, found.events })
      local used = 0
      for _, rule in ipairs(found.rules) do
        assert.same({ by[key_of(rule)] or 0, rule.decided }, { rule.records, rule.records }, key_of(rule))
        used, by[key_of(rule)] = used + (rule.decided > 0 and 1 or 0), nil
      end
      assert.same({ used, 15 - used }, { found.used, found.unused })
      assert.equal(by.verdict, found.verdict and found.verdict.records)
      local rest = found.default and found.default.decided_at
      assert.equal(by["nil " .. tostring(rest)] or 0, found[rest and "default" or "default_mapping"].records)
      check_uncovered(found, open)
    end
  end)

  local function small()
    local it = recordings.new(place.path .. "/a.rec")
    it:batch(0.1, { { dst_port = 443 }, { dst_port = 443 }, { dst_port = 22 }, { dst_port = 9 },
      { dst_port = 9, cell = 1 }, { dst_port = 7 }, { dst_port = 25 } })
    it:close(1)
    place:write("a.lua", [[
allow "web" { dst_port = 443 }
deny "ssh\27[31m" { dst_port = 22 }
allow "never" { dst_port = 1 }
function verdict(ev) if ev.dst_port == 25 then return "deny", "mail" end end
function format(record) if record.dst_port ~= 443 then return record end end
default { decision = "deny" }
]])
  end

  it("shows people each rule, and where what no rule covers went", function()
    small()
    local code, out, err = place:run("coverage a.lua --top 1 a.rec")
    assert.same({ 0, "" }, { code, err })
    assert.equal([[
a.lua: 2 of 3 rules decided something
5 records (0 allow, 5 deny) of 7 events, 2 suppressed

  DECIDED   RECORDS
        2         0  a.lua:1: allow "web"
        1         1  a.lua:2: deny "ssh\u001b[31m"
    never            a.lua:3: allow "never"
        3         3  a.lua:6: default, deny
        1         1  a.lua:4: verdict

3 events without a rule, to 2 destinations
        2 10.0.0.1:9/tcp in web, db
            e.g. opened in web: 10.0.0.0:40000 -> 10.0.0.1:9 at 2026-11-18T12:30:00.100000000Z, decision ID
        1 more to 1 other destinations (--top)
]], (out:gsub("decision %x+%-[%x%-]+", "decision ID")))
    place:write("b.lua", "")
    code, out = place:run("coverage b.lua --top 0 a.rec")
    assert.equal(0, code)
    assert.truthy(out:find("\n        7         7  the default mapping: neither a rule nor verdict said anything\n", 1,
      true), out)
    place:write("c.lua", 'allow "all" {}\n')
    code, out = place:run("coverage c.lua a.rec")
    assert.equal(0, code)
    assert.truthy(out:find("\nno events without a rule\n", 1, true), out)
  end)

  it("fails when it is asked to and a rule decided nothing, or no rule covers an event", function()
    small()
    local function run(words)
      local code, out, err = place:run("coverage -o json " .. words)
      assert.truthy(out:find('^{"schema_version"'))
      return { code, err }
    end
    assert.same({ 1, "cellflow: error: a.lua: 1 of 3 rules decided nothing (--fail-on unused)\n" },
      run("a.lua a.rec --fail-on unused"))
    assert.same({ 1, "cellflow: error: a.lua: no rule covers some events (--fail-on uncovered)\n" },
      run("a.lua a.rec --fail-on uncovered"))
    place:write("c.lua", 'allow "all" {}\ndefault { decision = "deny" }\n')
    assert.same({ 0, "" }, run("c.lua a.rec --fail-on unused,uncovered"))
    assert.same({ 0, "" }, run("a.lua a.rec"))
  end)

  it("counts on over several recordings, which may bring rules of their own by their arguments", function()
    for i, port in ipairs({ 443, 9 }) do
      local it = recordings.new(("%s/%d.rec"):format(place.path, i), { recording = i, args = { "port", port .. "" } })
      it:batch(0.1, { { dst_port = 443 }, { dst_port = 9 } })
      it:close(1)
    end
    place:write("a.lua", 'allow("to " .. args.port) { dst_port = tonumber(args.port) }\n')
    local found = coverage("a.lua 1.rec 2.rec")
    assert.same({ { "to 443", 1 }, { "to 9", 1 }, 2 }, { { found.rules[1].rule, found.rules[1].decided },
      { found.rules[2].rule, found.rules[2].decided }, found.default_mapping.decided })
    found = coverage("a.lua -a port=443 1.rec 2.rec")
    assert.same({ 1, 2 }, { #found.rules, found.rules[1].decided })
    local it = recordings.new(place.path .. "/none.rec")
    it:close(1)
    found = coverage("a.lua -a port=1 none.rec")
    assert.same({ 1, 0, 0 }, { found.unused, found.events, found.uncovered.count })
  end)

  it("holds more rules and cells than fit a line, and names eight cells", function()
    local names = {}
    for i = 1, 10 do names[i] = i == 3 and '","' or "cell\n" .. i end
    local it = recordings.new(place.path .. "/a.rec", { cells = names })
    for i = 1, 10 do it:batch(0.1 * i, { { cell = i - 1 }, { cell = 2 } }) end
    it:close(2)
    place:write("a.lua", "for i = 1, 3000 do allow('r' .. i) { dst_port = i, dst_addr = '192.0.2.1' } end\n")
    local found = coverage("a.lua a.rec")
    assert.same({ 3000, 3000, 20 }, { #found.rules, found.unused, found.default_mapping.decided })
    local group = found.uncovered.top[1]
    assert.same({ "cell\n1", '","', "cell\n2" }, { group.cells[1], group.cells[2], group.cells[3] })
    assert.same({ 8, true, 20 }, { #group.cells, group.more_cells, group.count })
  end)

  it("covers captures, whose cells the command line says", function()
    place:write("a.pcap", capture_bytes.pcap({ { sec = 1795005000, bytes = packet.frame4(packet.UDP,
      packet.udp({ src = 1000, dst = 53, payload = "query" }), { src = "10.77.0.2", dst = "192.0.2.9" }) } }))
    place:write("a.lua", 'deny "in" { direction = "ingress" }\n')
    assert.same({ 0, { "web" } }, { coverage("a.lua --cell-net web=10.77.0.2 a.pcap").used,
      coverage("a.lua --cell-net web=10.77.0.2 a.pcap").uncovered.top[1].cells })
    assert.equal(1, coverage("a.lua --cell-net web=192.0.2.9 a.pcap").used)
  end)

  describe("in trouble", function()
    local function fails(code, words, ...)
      local got, out, err = place:run("coverage " .. words)
      assert.same({ code, "" }, { got, out }, err)
      for _, text in ipairs({ ... }) do assert.truthy(err:find(text, 1, true), err) end
    end

    it("says what is wrong with a command line, a policy or a file", function()
      small()
      fails(2, "", "want a policy and at least one recording")
      fails(2, "a.lua", "want a policy and at least one recording")
      fails(2, "a.lua a.rec --fail-on unusd", '"unusd" is not known (did you mean "unused"?)')
      fails(2, "a.lua a.rec -o yaml", '"yaml"')
      fails(2, "a.lua a.rec --top x", "--top")
      fails(2, "a.lua a.rec --cell-net 10.0.0.0/8", "are for captures")
      place:write("bad.lua", "allow 'x' { dst_prot = 1 }\n")
      fails(3, "bad.lua a.rec", "bad.lua:1")
      fails(3, "none.lua a.rec", "none.lua")
      fails(1, "a.lua none.rec", "none.rec")
      place:write("empty.rec", "")
      fails(1, "a.lua empty.rec", "empty.rec")
    end)

    it("tells what can be read of a damaged recording, and that it is not all", function()
      local bytes = made.bytes(4000, { flush = 2 })
      place:write("a.rec", bytes:sub(1, math.floor(#bytes / 2)))
      place:write("a.lua", 'allow "all" {}\n')
      local code, out, err = place:run("coverage -o json a.lua a.rec")
      local found = dkjson.decode(out)
      assert.same({ 1, false }, { code, found.whole })
      assert.is_true(found.rules[1].decided > 0 and found.rules[1].decided < 4000)
      assert.truthy(err:find("a.rec", 1, true), err)
    end)

    it("tells of a disk that is full", function()
      small()
      assert.equal(1, os.execute(("cd %s && %s coverage a.lua a.rec >/dev/full 2>stderr; exit $?"):format(place.path,
        place.program)) / 256)
    end)
  end)
end)
