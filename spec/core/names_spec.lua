-- SPDX-License-Identifier: MIT
--
-- The words of records, and silence for every other number.
local ffi = require("ffi")
local core = require("output_core")

local function words(lookup)
  local found = {}
  for number = 0, 300 do
    local word = lookup(number)
    if word ~= nil then
      found[number] = ffi.string(word)
    end
  end
  assert.is_true(lookup(4294967295) == nil)
  return found
end

describe("names", function()
  it("are these, and no other number has one", function()
    assert.same({ "opened", "updated", "closed", "logged" }, words(core.cf_name_kind))
    assert.same({ "ebpf", "nflog", "replay" }, words(core.cf_name_source))
    assert.same({ "tc_egress", "tc_ingress", "nf_prerouting", "nf_input", "nf_forward", "nf_output", "nf_postrouting",
      "nf_ingress", "nf_egress" }, words(core.cf_name_hook))
    assert.same({ [2] = "ebpf", [4] = "nflog", [6] = "ebpf,nflog", [8] = "replay", [10] = "ebpf,replay",
      [12] = "nflog,replay", [14] = "ebpf,nflog,replay" }, words(core.cf_name_witnesses))
    assert.same({ "egress", "ingress" }, words(core.cf_name_direction))
    assert.same({ [4] = "ipv4", [6] = "ipv6" }, words(core.cf_name_family))
    assert.same({ "accept", "drop" }, words(core.cf_name_verdict))
    assert.same({ "fin", "rst", "idle", "evicted", "cell_gone", "shutdown" }, words(core.cf_name_close_reason))
    assert.same({ "allow", "deny" }, words(core.cf_name_decision))
    assert.same({ [1] = "icmp", [6] = "tcp", [17] = "udp", [58] = "icmpv6" }, words(core.cf_name_protocol))
  end)

  it("spell TCP flags in the order of their bits", function()
    local out = ffi.new("char[9]")
    local function flags(value)
      return ffi.string(out, core.cf_tcp_flags_text(value, out))
    end
    assert.equal("", flags(0))
    assert.equal("S", flags(0x02))
    assert.equal("SA", flags(0x12))
    assert.equal("FA", flags(0x11))
    assert.equal("FSRPAUEC", flags(0xff))
    assert.equal("", flags(0x100))
  end)
end)
