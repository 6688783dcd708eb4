-- SPDX-License-Identifier: MIT
-- `cellflow summary` as a user runs it: its groups against a count of the records that `replay` writes; what it shows
-- of many groups; filters; captures; and every way to ask wrongly or give it less than a recording.
local capture_bytes = require("capture_bytes")
local dkjson = require("dkjson")
local made = require("made_recording")
local packet = require("packet")
local recordings = require("replay_recording")
local strict_json = require("strict_json")
local verb = require("verb")

local POLICY = [[
allow "web" { protocol = "tcp", dst_port = { 443, 80 } }
deny "ssh" { dst_port = 22 }
function dedup(ev) if ev.dst_port == 53 then return ev.dst_addr, 0.001 end end
function format(record) if record.dst_port ~= 8080 then return record end end
default { decision = "deny", reason = "not_declared" }
]]

describe("summary", function()
  local place

  before_each(function() place = verb.open() end)
  after_each(function() place:close() end)

  local function summary(words)
    local code, out, err = place:run("summary -o json " .. words)
    assert.same({ 0, "" }, { code, err })
    assert.equal(1, select(2, out:gsub("\n", "")))
    if strict_json.available then assert.is_true(strict_json.is_object(out, #out)) end
    return dkjson.decode(out)
  end

  local function text_of(value)
    if type(value) == "table" then return table.concat(value, "+") end
    return tostring(value)
  end

  -- What groups there should be, of the records that replay writes: key -> numbers.
  local function counted(words, fields)
    local code, out, err = place:run("replay -q " .. words)
    assert.equal(0, code, err)
    local groups, number, records = {}, 0, 0
    for line in out:gmatch("[^\n]+") do
      local record, key = dkjson.decode(line), {}
      for i, field in ipairs(fields) do key[i] = text_of(record[field]) end
      key = table.concat(key, "|")
      if not groups[key] then
        groups[key], number = { count = 0, allow = 0, deny = 0 }, number + 1
      end
      local group = groups[key]
      records, group.count = records + 1, group.count + 1
      group[record.decision] = group[record.decision] + 1
      if record.kind == "closed" then
        group.packets = (group.packets or 0) + (record.packet_count or 0) + (record.reply_packet_count or 0)
        group.bytes = (group.bytes or 0) + (record.byte_count or 0) + (record.reply_byte_count or 0)
      end
    end
    return groups, number, records
  end

  local function check(words, by)
    local fields = {}
    for field in by:gmatch("[^,]+") do fields[#fields + 1] = field end
    local truth, number, records = counted(words, fields)
    local found = summary(words .. " --top 65536 --by " .. by)
    local of, before = found.groups[1]
    assert.same({ fields, number, number, records, records }, { of.by, of.groups, #of.top, found.records,
      found.allow + found.deny })
    assert.same({ count = 0, allow = 0, deny = 0 }, of.not_grouped)
    for _, group in ipairs(of.top) do
      local key = {}
      for i, field in ipairs(fields) do
        key[i], group[field] = text_of(group[field]), nil
      end
      assert.same(truth[table.concat(key, "|")], group, table.concat(key, "|"))
      truth[table.concat(key, "|")] = nil
      assert.is_true(not before or before >= group.count)
      before = group.count
    end
    assert.is_nil(next(truth))
    assert.equal(found.events, records + found.deduplicated + found.suppressed + found.filtered)
    return found
  end

  local function small()
    local it = recordings.new(place.path .. "/a.rec")
    it:batch(0.1, { { dst_port = 443, host = 9 }, { dst_port = 22 }, { dst_port = 22, cell = 1 }, { dst_port = 80 },
      { dst_port = 80 }, { dst_port = 9 }, { dst_port = 80 } })
    it:close(1)
    place:write("a.lua", 'allow "web" { dst_port = { 443, 80 } }\nfunction reason(ev) ' ..
      'if ev.dst_port == 9 then return "a\\27[31m \\194\\155" end end\ndefault { decision = "deny" }\n')
  end

  it("counts what a count of replay's records counts, by whatever fields", function()
    place:write("a.rec", made.bytes(1000, { seed = 7 }))
    place:write("a.lua", POLICY)
    for _, by in ipairs({ "dst_addr,dst_port,protocol", "cell_id", "rule,decided_at", "witnesses,kind,close_reason",
      "src_port", "prefix,nft_rule_ref,hook,verdict", "decision_id", "tcp_flags,family,packet_count" }) do
      local found = check("-c a.lua a.rec", by)
      assert.is_true(found.deduplicated > 0 and found.suppressed > 0)
    end
    check("a.rec", "dst_addr,reason_code")
    local found = check("-c a.lua --decision deny --where 'dst_port ~= 80' a.rec", "reason_code")
    assert.is_true(found.filtered > 0)
  end)

  it("shows people tables: most records first, then by value, the rest in one line", function()
    small()
    local code, out, err = place:run("summary -c a.lua --by dst_port,cell_id --top 3 --by reason_code a.rec")
    assert.same({ 0, "" }, { code, err })
    assert.equal([[
7 records (4 allow, 3 deny) of 7 events

by dst_port, cell_id: 5 groups
COUNT  ALLOW  DENY  PACKETS  BYTES  DST_PORT  CELL_ID
    3      3     0        -      -  80        web
    1      0     1        -      -  9         web
    1      0     1        -      -  22        db
    2      1     1        -      -  (others) in 2 more groups (--top)

by reason_code: 3 groups
COUNT  ALLOW  DENY  PACKETS  BYTES  REASON_CODE
    4      4     0        -      -  policy_allow
    2      0     2        -      -  default_deny
    1      0     1        -      -  "a\u001b[31m \u009b"
]], out)
    code, out = place:run("summary a.rec")
    assert.equal(0, code)
    for _, by in ipairs({ "dst_addr, dst_port, protocol: 4 groups", "reason_code: 1 group",
      "rule, decided_at: 1 group" }) do
      assert.truthy(out:find("\nby " .. by .. "\n", 1, true), out)
    end
  end)

  it("counts records beyond the groups that it can hold", function()
    place:write("a.rec", made.bytes(70000, { seed = 4 }))
    place:write("a.lua", "local n = 0\nfunction reason(ev) n = n + 1 return 'r' .. n end\n")
    local of = summary("-c a.lua --by reason_code --top 1 a.rec").groups[1]
    assert.same({ 65536, 65535, 65535, 70000 - 65536 }, { of.groups, of.others.count, of.others.groups,
      of.not_grouped.count })
    local _, out = place:run("summary -c a.lua --by reason_code --top 1 a.rec")
    assert.truthy(out:find(("\n%5d "):format(70000 - 65536), 1, true), out)
    assert.truthy(out:find("(not grouped) there were too many groups", 1, true), out)
    small()
    place:write("a.lua", "function reason(ev) return ('x'):rep(ev.dst_port == 80 and 20000 or 15000) end\n")
    of = summary("-c a.lua --by reason_code a.rec").groups[1]
    assert.same({ 1, 4, 3 }, { of.groups, of.top[1].count, of.not_grouped.count })
  end)

  it("sums up captures, whose cells and events the command line says", function()
    local list = {}
    for i = 0, 30 do
      list[#list + 1] = { sec = 1795005000 + i, bytes = packet.frame4(packet.UDP,
        packet.udp({ src = 1000 + i % 3, dst = 53, payload = "query" }), { src = "10.77.0.2", dst = "192.0.2.9" }) }
    end
    place:write("a.pcap", capture_bytes.pcap(list))
    local found = summary("--events opened,closed --cell-net dns=10.77.0.0/24 --by cell_id,dst_port a.pcap")
    assert.same({ { cell_id = "dns", dst_port = 53, count = 6, allow = 6, deny = 0, packets = 31, bytes = 31 * 33 } },
      found.groups[1].top)
  end)

  it("sums up several recordings, and one with nothing in it", function()
    small()
    local it = recordings.new(place.path .. "/b.rec", { recording = 77 })
    it:close(1)
    assert.same({ 0, 0 }, { summary("b.rec").records, #summary("b.rec").groups[1].top })
    assert.equal(7, summary("a.rec b.rec").records)
    local _, out = place:run("summary b.rec")
    assert.truthy(out:find("^0 records %(0 allow, 0 deny%) of 0 events\n\nby dst_addr, dst_port, protocol: 0 groups\n"),
      out)
  end)

  describe("in trouble", function()
    local function fails(code, words, ...)
      local got, out, err = place:run("summary " .. words)
      assert.same({ code, "" }, { got, out }, err)
      for _, text in ipairs({ ... }) do assert.truthy(err:find(text, 1, true), err) end
    end

    it("says what is wrong with a command line", function()
      small()
      fails(2, "", "want at least one recording or capture")
      fails(2, "a.rec --by dst_prt", 'a record has no field "dst_prt" (did you mean "dst_port"?)')
      fails(2, "a.rec --by rule,port", 'a record has no field "port" (did you mean "src_port", "dst_port"?)')
      fails(2, "a.rec --by cell", '(did you mean "cell_id"?)')
      fails(2, "a.rec --by zebra", 'a record has no field "zebra" (it has: cell_id, dst_addr')
      fails(2, "a.rec --by ''", "--by: want fields of records with commas between them")
      fails(2, "a.rec --by dst_port,", "--by: want fields of records with commas between them")
      fails(2, "a.rec --by rule,rule", '"rule" is named twice')
      fails(2, "a.rec --by kind,rule,prefix,mark,vlan,hook,source,family,verdict", "more than 8 fields")
      fails(2, "a.rec" .. (" --by rule"):rep(9), "--by: given more than 8 times")
      fails(2, "a.rec --top -1", "--top")
      fails(2, "a.rec -o yaml", '"yaml"')
      fails(2, "a.rec --where 'dst_prt == 1'", 'did you mean "dst_port"')
      fails(2, "a.rec --cell-net 10.0.0.0/8", "are for captures")
    end)

    it("says which policy or file is no good", function()
      small()
      place:write("bad.lua", "allow 'x' { dst_prot = 1 }\n")
      fails(3, "-c bad.lua a.rec", "bad.lua:1")
      fails(3, "-c none.lua a.rec", "none.lua")
      fails(1, "none.rec", "none.rec")
      place:write("empty.rec", "")
      fails(1, "empty.rec", "empty.rec")
      place:write("no.rec", "cellflow, but no recording")
      fails(1, "no.rec", "no.rec")
      place:write("hangs.lua", "limits { stuck_s = 1 }\nfunction verdict(ev) while true do end end\n")
      fails(1, "-c hangs.lua a.rec", "verdict at hangs.lua:2 did not come back")
    end)

    it("sums up what can be read of a damaged recording, and says that it is not all", function()
      local bytes = made.bytes(4000, { flush = 2 })
      place:write("a.rec", bytes:sub(1, math.floor(#bytes / 2)))
      local code, out, err = place:run("summary -o json a.rec")
      local found = dkjson.decode(out)
      assert.same({ 1, false }, { code, found.whole })
      assert.is_true(found.records > 0 and found.records < 4000)
      assert.truthy(err:find("a.rec", 1, true), err)
      code, out = place:run("summary a.rec")
      assert.equal(1, code)
      assert.truthy(out:find(" events; the recording was not read to its end, or has none\n", 1, true), out)
      local it = recordings.new(place.path .. "/cut.rec")
      it:batch(0.1, { {} })
      it:close(1, { cut = true })
      code, out, err = place:run("summary -o json cut.rec")
      assert.same({ 0, false, 1 }, { code, dkjson.decode(out).whole, dkjson.decode(out).records })
      assert.truthy(err:find("cut.rec: has no end", 1, true), err)
    end)

    it("tells of a disk that is full", function()
      small()
      assert.equal(1, os.execute(("cd %s && %s summary a.rec >/dev/full 2>stderr; exit $?"):format(place.path,
        place.program)) / 256)
    end)
  end)
end)
