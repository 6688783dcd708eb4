-- SPDX-License-Identifier: MIT
-- Records as lines of words, rows of a table and CSV: what they say, that hostile bytes stay bytes, and that nothing
-- leaves the room it was given.
local ffi = require("ffi")
local core = require("output_core")
local lab_run = require("lab").run
local record = require("cellflow.record")
local strict_json = require("strict_json")

ffi.cdef([[
size_t cf_record_line(uint32_t style, const struct cf_event *event, const struct cf_decision *decision, char *out,
  size_t size);
size_t cf_record_header(uint32_t format, char *out, size_t size);
size_t cf_line_clean(const char *line, size_t len, char *out, size_t size);
]])

local C = ffi.C
local SIZE = 1048576
local out = ffi.new("char[?]", SIZE)
local COMPACT, TABLE, CSV = 2 * C.CF_FORMAT_COMPACT, 2 * C.CF_FORMAT_TABLE, 2 * C.CF_FORMAT_CSV
local COLOR = 1

local function intern(text) return text and core.cf_intern(text, #text) or 0 end

local function bind(change)
  local plan = ffi.new("struct cf_plan", { cell_count = 1 })
  plan.cells[0].name, plan.cells[0].interface = "web", "eth0"
  if change then change(plan) end
  assert(core.cf_record_bind(plan, nil) == 0)
end

local function event(fields)
  local ev = ffi.new("struct cf_event", {
    first_seen_ns = 1500000000ULL, last_seen_ns = 3023456789ULL, packets = 12, bytes = 3456, seq = 7, tcp_flags = 2,
    kind = C.CF_KIND_OPENED, source = C.CF_SOURCE_EBPF, direction = C.CF_DIRECTION_EGRESS, family = 4, protocol = 6,
    src_port = 40000, dst_port = 443, flags = C.CF_EVENT_PORTS + C.CF_EVENT_TCP,
  })
  core.cf_address_parse("10.0.0.5", 8, ev.src_addr)
  core.cf_address_parse("192.0.2.7", 9, ev.dst_addr)
  for name, value in pairs(fields or {}) do ev[name] = value end
  return ev
end

local function decision(fields)
  fields = fields or {}
  return ffi.new("struct cf_decision", { decision = fields.decision or C.CF_ALLOW, rule = intern(fields.rule),
    reason = intern(fields.reason or "ok"), place = intern(fields.place), error_place = intern(fields.error_place) })
end

local function line(style, ev, dec)
  local len = core.cf_record_line(style, ev or event(), dec or decision(), out, SIZE)
  assert.is_true(len > 0)
  return ffi.string(out, len)
end

local no_python = select(2, lab_run("python3 -c 'import csv'")) ~= 0 and "needs python3, to read CSV back" or nil

local function header(format) return ffi.string(out, core.cf_record_header(format, out, SIZE)) end

-- Every byte alone and beside others, as a text of a policy may have it: no NUL, for prefixes.
local HOSTILE = { "\27[31mred\27[0m", "a\nb\r\nc", 'q"u"o,te\\d', "\155[2J", "\194\155", "\226\128\168", "\127\8\9",
  "=1+1", " lead", "trail ", ",", '"', "\\", "\\n", "", "caf\195\169", "\255\254", "a,b", '\\"', "-" }
for byte = 1, 255 do HOSTILE[#HOSTILE + 1] = string.char(byte) .. "x" end

local function has_control(text)
  return text:find("[%z\1-\31\127]") or text:find("\194[\128-\159]") or text:find("\226\128[\168\169]")
end

local function hostile_lines(style, see)
  for _, text in ipairs(HOSTILE) do
    bind(function(plan)
      plan.cells[0].name = text
      plan.metadata.run_id = text
    end)
    local ev = event({ prefix = "cellflow:deny:" .. text })
    see(line(style, ev, decision({ reason = text .. "r", rule = text, place = text, error_place = text })), text)
  end
end

describe("a record", function()
  setup(function() assert(strict_json.available, strict_json.missing) end)
  before_each(function()
    core.cf_intern_reset()
    core.cf_clock_set_offset(1769903999LL * 1000000000)
    bind()
  end)
  teardown(function()
    core.cf_record_unbind()
    core.cf_intern_reset()
    core.cf_clock_follow()
  end)

  describe("as a line of words", function()
    it("says who spoke to whom, and what was decided", function()
      assert.equal("2026-02-01T00:00:02.023Z web 10.0.0.5:40000 -> 192.0.2.7:443 tcp S allow ok", line(COMPACT))
      assert.equal("2026-02-01T00:00:02.023Z web 10.0.0.5:40000 -> 192.0.2.7:443 tcp S deny policy_deny rule=no-web",
        line(COMPACT, nil, decision({ decision = C.CF_DENY, reason = "policy_deny", rule = "no-web" })))
    end)
    it("has the cell's end on the left of the arrow", function()
      local ev = event({ direction = C.CF_DIRECTION_INGRESS })
      assert.matches(" web 192.0.2.7:443 <- 10.0.0.5:40000 tcp ", line(COMPACT, ev), 1, true)
    end)
    it("says what else there is: IPv6, ICMP, fragments, numbers of protocols, the firewall, an error", function()
      local v6 = event({ family = 6, protocol = 58, flags = C.CF_EVENT_ICMP, icmp_type = 128 })
      core.cf_address_parse("fd00::1", 7, v6.src_addr)
      core.cf_address_parse("fd00::2", 7, v6.dst_addr)
      assert.matches(" fd00::1 -> fd00::2 icmpv6 128/0 allow ok", line(COMPACT, v6), 1, true)
      v6.protocol, v6.flags = 17, C.CF_EVENT_PORTS
      assert.matches(" [fd00::1]:40000 -> [fd00::2]:443 udp allow", line(COMPACT, v6), 1, true)
      assert.matches(" 10.0.0.5 -> 192.0.2.7 47 fragment allow",
        line(COMPACT, event({ protocol = 47, flags = C.CF_EVENT_FRAGMENT })), 1, true)
      assert.matches(" logged deny x nft=no-ssh conflict error_at=cellflow.lua:3",
        line(COMPACT, event({ kind = 4, prefix = "cellflow:deny:no-ssh: ", flags = C.CF_EVENT_CONFLICT }),
          decision({ decision = C.CF_DENY, reason = "x", error_place = "cellflow.lua:3" })), 1, true)
      assert.matches(" web - -> - tcp allow", line(COMPACT, event({ family = 0, flags = 0 })), 1, true)
      assert.matches("Z - 10.0.0.5:", line(COMPACT, event({ cell = 9 })), 1, true)
    end)
    it("says what a flow came to", function()
      local ev = event({ kind = C.CF_KIND_CLOSED, close_reason = C.CF_CLOSE_FIN, reply_packets = 3, reply_bytes = 99 })
      assert.matches(" tcp S closed fin 1523ms 12 packets 3456 bytes reply 3 packets 99 bytes allow ok$",
        line(COMPACT, ev))
      assert.matches(" updated 1523ms 12 packets 3456 bytes allow", line(COMPACT, event({ kind = 2 })))
    end)
    it("colours the decision and nothing else", function()
      assert.matches(" S \27[32mallow\27[0m ok", line(COMPACT + COLOR), 1, true)
      local denied = decision({ decision = C.CF_DENY })
      assert.matches(" S \27[31mdeny\27[0m ok", line(COMPACT + COLOR, nil, denied), 1, true)
      assert.equal(line(COMPACT, nil, denied), (line(COMPACT + COLOR, nil, denied):gsub("\27%[%d+m", "")))
    end)
    it("lets no byte through that a terminal obeys, and keeps words apart", function()
      hostile_lines(COMPACT, function(text, from)
        assert.is_falsy(has_control(text), from)
        assert.matches("^2026%-[%w:.-]+Z .+ allow .+ rule=.+ error_at=.", text)
      end)
    end)
  end)

  describe("as a row of a table", function()
    it("stands under its header, and columns grow with what is in them", function()
      local head, row = header(C.CF_FORMAT_TABLE), line(TABLE, nil, decision({ rule = "r1" }))
      for word, value in pairs({ CELL = "web", SOURCE = "10.0.0.5:40000", DESTINATION = "192.0.2.7:443",
        PROTOCOL = "tcp", DIRECTION = "egress", KIND = "opened", DECISION = "allow", REASON = "ok", RULE = "r1" }) do
        assert.equal(head:find(word, 1, true), row:find(" " .. value, 1, true) + 1, word)
      end
      local wide = event({ family = 6 })
      for i = 0, 15 do wide.src_addr[i], wide.dst_addr[i] = 0xfd, 0xfd end
      line(TABLE, wide)
      local after, before = line(TABLE), row:find("192.0.2.7", 1, true)
      assert.is_true(after:find("192.0.2.7", 1, true) > before)
      assert.equal(after:find("192.0.2.7", 1, true), header(C.CF_FORMAT_TABLE):find("DESTINATION", 1, true))
    end)
    it("is aligned in colour as without", function()
      local plain, colored = line(TABLE), line(TABLE + COLOR)
      assert.matches("\27[32mallow\27[0m ", colored, 1, true)
      assert.equal(plain, (colored:gsub("\27%[%d+m", "")))
    end)
    it("lets no byte through that a terminal obeys", function()
      hostile_lines(TABLE, function(text, from) assert.is_falsy(has_control(text), from) end)
    end)
  end)

  describe("as CSV", function()
    -- Rows as Python's csv module reads them: name -> text.
    local function read_back(rows)
      local path = os.tmpname()
      local file = assert(io.open(path, "wb"))
      file:write(table.concat(rows, "\n"), "\n")
      file:close()
      local text, code = lab_run("python3 -c '" .. [[
import csv, json, sys
for row in csv.DictReader(open(sys.argv[1], newline="", encoding="utf-8"), strict=True):
    assert None not in row and None not in row.values(), row
    print(json.dumps(row))' ]] .. path)
      os.remove(path)
      assert.equal(0, code, text)
      local list = {}
      for json in text:gmatch("[^\n]+") do list[#list + 1] = assert(strict_json.decode(json)) end
      return list
    end

    it("has a column for each member of a record, in the same order", function()
      assert.equal(table.concat(record.members, ",") .. "\r", header(C.CF_FORMAT_CSV))
    end)
    it("says what the JSON says, member by member", function()
      if no_python then return pending(no_python) end
      local events = { event(), event({ family = 6 }), event({ kind = C.CF_KIND_CLOSED, reply_packets = 5, vlan = 7,
        close_reason = C.CF_CLOSE_IDLE, verdict = 2, mark = 9, icmp_id = 77, flags = 0x1ff, witnesses = 6, hook = 6,
        prefix = "cellflow:deny:ssh: " }) }
      bind(function(plan)
        plan.generation = 3
        plan.metadata.run_id, plan.metadata.policy_digest, plan.metadata.keyset_id = "r", "p", "k"
        plan.metadata.issuer_kid, plan.metadata.correlation_id = "i", "c"
      end)
      local dec = decision({ rule = "r", place = "p:1", error_place = "p:2" })
      local rows = { header(C.CF_FORMAT_CSV) }
      for _, ev in ipairs(events) do rows[#rows + 1] = line(CSV, ev, dec) end
      local back = read_back(rows)
      assert.equal(3, #back)
      for i, ev in ipairs(events) do
        local text = line(0, ev, dec):gsub('"witnesses":%["ebpf","nflog"%]', '"witnesses":"ebpf,nflog"')
        local json = assert(strict_json.decode(text))
        for _, name in ipairs(record.members) do
          local value = json[name] == nil and "" or type(json[name]) == "number" and ("%d"):format(json[name])
            or tostring(json[name])
          assert.equal(value, back[i][name], name)
        end
      end
    end)
    it("keeps any bytes apart: a text is what JSON has between its quotes", function()
      if no_python then return pending(no_python) end
      local rows, wanted = { header(C.CF_FORMAT_CSV) }, {}
      hostile_lines(CSV, function(text, from)
        assert.is_falsy(has_control((text:gsub("\r$", ""))), from)
        rows[#rows + 1], wanted[#wanted + 1] = text, from
      end)
      local back = read_back(rows)
      assert.equal(#wanted, #back)
      local quoted = ffi.new("char[4096]")
      for i, text in ipairs(wanted) do
        local json = ffi.string(quoted, core.cf_json_string(text, #text, quoted, 4096)):sub(2, -2):gsub('\\"', '"')
        assert.equal(json, back[i].rule)
        assert.equal(json, back[i].run_id)
        assert.equal("egress", back[i].direction)
        assert.equal("443", back[i].dst_port)
      end
    end)
  end)

  it("never leaves the room it was given, and says so when it does not fit", function()
    local ev, dec = event({ kind = 3, close_reason = 1 }), decision({ rule = 'a,"b', error_place = "x:1" })
    for _, style in ipairs({ COMPACT, COMPACT + COLOR, TABLE, TABLE + COLOR, CSV }) do
      local len = #line(style, ev, dec)
      for size = 0, len - 1 do
        ffi.fill(out, len + 64, 0x5a)
        assert.equal(0, tonumber(core.cf_record_line(style, ev, dec, out, size)))
        assert.equal(0x5a, out[size])
      end
      assert.equal(len, tonumber(core.cf_record_line(style, ev, dec, out, len)))
    end
  end)
  it("is not made without a plan", function()
    core.cf_record_unbind()
    for _, style in ipairs({ 0, COMPACT, TABLE, CSV }) do
      assert.equal(0, tonumber(core.cf_record_line(style, event(), decision(), out, SIZE)))
    end
  end)
  it("with a text too long for any line is refused in every form", function()
    local long = decision({ rule = ("\1"):rep(400000) })
    for _, style in ipairs({ 0, COMPACT, TABLE, CSV }) do
      assert.equal(0, tonumber(core.cf_record_line(style, event(), long, out, SIZE)), style)
    end
  end)
end)

describe("a line for a terminal", function()
  local function clean(text) return ffi.string(out, core.cf_line_clean(text, #text, out, SIZE)) end
  it("keeps what is harmless", function()
    for _, text in ipairs({ 'say "hi" \\o/', '{"a":"b\\n"}', "", "caf\195\169", '"', "\\" }) do
      assert.equal(text, clean(text))
    end
  end)
  it("has no commands in it", function()
    assert.equal("\\u001b[2J\\n\\u009b", clean("\27[2J\n\194\155"))
    for _, text in ipairs(HOSTILE) do assert.is_falsy(has_control(clean(text)), text) end
    assert.equal(0, tonumber(core.cf_line_clean("\27\27", 2, out, 11)))
  end)
end)
