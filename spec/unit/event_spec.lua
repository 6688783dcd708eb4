-- SPDX-License-Identifier: MIT
-- The fields of a flow event as policies read them, and every way to misuse one.
require("spec.helper")
local ffi = require("ffi")
local recording = require("recording_core")
local event = require("cellflow.event")

local CELL = 'cell "build-42" { netns = "b", interface = "eth0" }\n'

-- The value of an expression over `ev`, taken out through a reason code.
local function value(expression, fields)
  local endings = recording.run(CELL .. "function reason(ev) return type(" .. expression .. ') .. " " .. tostring(' ..
    expression .. ") end", { fields or {} })
  assert.is_nil(endings[1].error_place)
  return endings[1].reason
end

local function misuse(code)
  local endings, out = recording.run("\n\nfunction verdict(ev)\n  " .. code .. "\nend")
  assert.equal("cellflow.lua:4", endings[1].error_place)
  return (out.log[1].text:gsub(" %[in verdict.*", ""))
end

describe("a flow event", function()
  local known = {
    { "ev.kind", "string opened" }, { "ev.source", "string ebpf" }, { "ev.hook", "string tc_egress" },
    { "ev.direction", "string egress" }, { "ev.verdict", "string accept" }, { "ev.family", "string ipv4" },
    { "ev.protocol", "string tcp" }, { "ev.protocol_number", "number 6" },
    { "ev.src_addr", "string 10.0.0.1" }, { "ev.src_port", "number 40000" },
    { "ev.dst_addr", "string 2001:db8::7", { dst = "2001:db8::7", src = "::1" } },
    { "ev.dst_addr", "string 192.0.2.7" }, { "ev.dst_port", "number 443" },
    { "ev.icmp_type", "number 8", { flags = 6, icmp_type = 8 } },
    { "ev.icmp_code", "number 0", { flags = 6 } }, { "ev.icmp_id", "number 77", { flags = 6, icmp_id = 77 } },
    { "ev.tcp_flags", "string SA", { tcp_flags = 0x12 } }, { "ev.tcp_flags", "string FSRPAUEC", { tcp_flags = 255 } },
    { "ev.packet_count", "number 2" }, { "ev.byte_count", "number 120" },
    { "ev.byte_count", "number 9.007199254741e+15", { bytes = 2 ^ 53 } },
    { "ev.vlan", "number 12", { flags = 16, vlan = 12 } }, { "ev.mark", "number 4294967295", { mark = 2 ^ 32 - 1 } },
    { "ev.fragment", "boolean true", { flags = 32 } }, { "ev.fragment", "boolean false" },
    { "ev.reopened", "boolean true", { flags = 64 } }, { "ev.reopened", "boolean false", { flags = 128 } },
    { "ev.midstream", "boolean true", { flags = 128 } }, { "ev.midstream", "boolean false", { flags = 64 } },
    { "ev.conflict", "boolean true", { flags = 256 } }, { "ev.conflict", "boolean false", { flags = 255 } },
    { "ev.witnesses", "string ebpf" }, { "ev.witnesses", "string nflog", { source = 2 } },
    { "ev.witnesses", "string ebpf,nflog", { witnesses = 6 } }, { "ev.hook", "string nf_forward", { hook = 5 } },
    { "ev.nft_rule", "string no-ssh", { prefix = "cellflow:deny:no-ssh" } },
    { "ev.nft_rule", "string a:b c", { prefix = "cellflow:allow:a:b c: " } },
    { "#ev.nft_rule", "number 112", { prefix = "cellflow:deny:" .. ("x"):rep(112) .. ":" } },
    { "ev.reply_packet_count", "number 3", { kind = 3, reply_packets = 3 } },
    { "ev.reply_byte_count", "number 999", { kind = 2, reply_bytes = 999 } },
    { "ev.cell_id", "string build-42" }, { "ev.interface", "string eth0" }, { "ev.ifindex", "number 7" },
    { "ev.cpu", "number 3", { cpu = 3 } }, { "ev.seq", "number 1" },
    { "ev.prefix", "string drop: ", { source = 2, kind = 4, prefix = "drop: " } },
    { "ev.close_reason", "string fin", { kind = 3, close_reason = 1 } }, { "ev.duration", "number 2.5" },
    { "ev.last_seen - ev.first_seen", "number 2.5" }, { "ev.time - ev.last_seen", "number 0" },
  }
  for _, case in ipairs(known) do
    it("has " .. case[1] .. " = " .. case[2], function()
      assert.equal(case[2], value(case[1], case[3]))
    end)
  end

  local absent = {
    { "ev.src_port", { flags = 0 } }, { "ev.dst_port", { flags = 0 } }, { "ev.icmp_type" }, { "ev.icmp_code" },
    { "ev.icmp_id", { flags = 2 } }, { "ev.tcp_flags", { flags = 1 } }, { "ev.vlan" }, { "ev.mark" },
    { "ev.protocol", { protocol = 47 } }, { "ev.verdict", { verdict = 0 } }, { "ev.hook", { hook = 0 } },
    { "ev.cpu", { hook = 0 } }, { "ev.seq", { seq = 0 } }, { "ev.ifindex", { ifindex = 0 } },
    { "ev.packet_count", { packets = 0 } }, { "ev.byte_count", { bytes = 0 } }, { "ev.close_reason" },
    { "ev.reply_packet_count" }, { "ev.reply_byte_count" }, { "ev.witnesses", { source = 0 } },
    { "ev.witnesses", { witnesses = 1 } }, { "ev.cpu", { hook = 6, cpu = 2 } }, { "ev.nft_rule" },
    { "ev.nft_rule", { prefix = "cellflow:deny:" } }, { "ev.nft_rule", { prefix = "cellflow:deny: : " } },
    { "ev.nft_rule", { prefix = "cellflow:no-ssh" } }, { "ev.nft_rule", { prefix = "xcellflow:deny:a" } },
    { "ev.nft_rule", { prefix = "cellflow:Deny:a" } },
    { "ev.nft_rule", { prefix = "cellflow:log:a" } },
    { "ev.prefix" }, { "ev.cell_id", { cell = 9 } }, { "ev.interface", { cell = 9 } },
    { "ev.src_addr", { family = 0 } }, { "ev.dst_addr", { family = 0 } }, { "ev.family", { family = 0 } },
    { "ev.duration", { first_seen_ns = 0 } }, { "ev.first_seen", { first_seen_ns = 0 } },
    { "ev.time", { last_seen_ns = 0 } },
  }
  for _, case in ipairs(absent) do
    it("has no " .. case[1] .. " when it is not known", function()
      assert.equal("nil nil", value(case[1], case[2]))
    end)
  end

  it("gives the wall clock's seconds as time", function()
    local seconds = tonumber(value("ev.time"):match("number (.*)"))
    assert.is_true(seconds > 1.5e9 and seconds < 1e10)
  end)
  it("copies into a plain table that outlives the call", function()
    local endings = recording.run([[
      local kept
      function reason(ev)
        local old = kept
        kept = ev:copy()
        return old and old.dst_addr .. " " .. old.dst_port .. " " .. tostring(old.vlan)
      end]], { { dst_port = 1 }, { dst = "192.0.2.8" } })
    assert.equal("192.0.2.7 1 nil", endings[2].reason)
  end)
  it("has only fields that are numbers, text, booleans or nil", function()
    local raw = recording.fill(ffi.new("struct cf_event"))
    for name, field in pairs(event.copy(ffi.cast(event.handle_type, raw))) do
      assert.is_true(({ number = true, string = true, boolean = true })[type(field)], name)
    end
  end)
end)

describe("misusing a flow event names the place and the remedy:", function()
  local arithmetic = "a flow event is not a number; name one of its fields, like ev.dst_port"
  local order = "a flow event cannot be compared; compare one of its fields, like ev.dst_port"
  local cases = {
    ["return ev.dst_prot"] = 'a flow event has no field "dst_prot" (did you mean "dst_port"?)',
    ["return ev.zzzzzzzzz"] = 'a flow event has no field "zzzzzzzzz"',
    ["return ev[{}].x"] = true,
    ["return ev[1]"] = "size of C type is unknown or too large",
    ["ev.dst_port = 1"] = 'a flow event cannot be changed: "dst_port" is read-only (ev:copy() gives a table)',
    ["ev.dst_prot = 1"] = 'a flow event has no field "dst_prot" (did you mean "dst_port"?)',
    ["ev[1] = 1"] = true,
    ["return ev + 1"] = arithmetic, ["return 1 - ev"] = arithmetic, ["return ev * 2"] = arithmetic,
    ["return ev / 2"] = arithmetic, ["return ev % 2"] = arithmetic, ["return ev ^ 2"] = arithmetic,
    ["return -ev"] = arithmetic, ["return ev - ev"] = arithmetic,
    ["return ev == 1"] = order, ["return ev ~= 'x'"] = order, ["return ev < 1"] = order, ["return 1 <= ev"] = order,
    ["return 'a' .. ev .. 'b' .. 'c'"] = "a flow event is not text; name one of its fields, like ev.dst_addr",
    ["return #ev"] = "a flow event has no length",
    ["local x = ev()"] = "a flow event is not a function",
    ["local copy = ev.copy() return copy"] = "copy is called with a colon: ev:copy()",
  }
  for code, text in pairs(cases) do
    it(code, function()
      local got = misuse(code)
      if text == true then
        assert.matches("^cellflow.lua:4: .", got)
      else
        assert.equal("cellflow.lua:4: " .. text, got)
      end
    end)
  end
end)
