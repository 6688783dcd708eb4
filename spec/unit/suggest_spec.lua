-- SPDX-License-Identifier: MIT
-- The nearest right name.
require("spec.helper")
local suggest = require("cellflow.suggest")

local NAMES = { "allow", "deny", "dst_addr", "dst_port", "netns", "nflog_group", "src_port" }

describe("suggest", function()
  local cases = {
    { "dst_prot", "dst_port" }, { "dst_adr", "dst_addr" }, { "nflg", "nflog_group" }, { "alow", "allow" },
    { "Deny", "deny" }, { "srcport", "src_port" }, { "netsn", "netns" },
    { "os" }, { "io" }, { "completely_else" }, { "" }, { 12 }, { "x" },
  }
  for _, case in ipairs(cases) do
    it(("%s -> %s"):format(tostring(case[1]), tostring(case[2])), function()
      assert.equal(case[2], suggest.nearest(case[1], NAMES))
    end)
  end
  it("counts a swap of neighbours, a change, an insertion, a removal as one step each", function()
    assert.equal(1, (suggest.distance("prot", "port")))
    assert.equal(1, (suggest.distance("pert", "port")))
    assert.equal(1, (suggest.distance("prt", "port")))
    assert.equal(1, (suggest.distance("poort", "port")))
    assert.equal(4, (suggest.distance("", "port")))
    assert.equal(0, (suggest.distance("port", "port")))
  end)
  it("takes the first of equals, and a whole name before a longer one", function()
    assert.equal("abcd", suggest.nearest("abce", { "abcd", "abcf" }))
    assert.equal("nets", suggest.nearest("netx", { "netsomething", "nets" }))
  end)
  it("knows how other tools call the same", function()
    local fields = { "dst_addr", "dst_port", "src_addr", "src_port", "source", "protocol", "interface", "packet_count",
      "byte_count", "cell_id", "tcp_flags", "duration" }
    for theirs, ours in pairs({ dport = "dst_port", sport = "src_port", daddr = "dst_addr", saddr = "src_addr",
      dst = "dst_addr", src = "src_addr", dst_ip = "dst_addr", DstIP = "dst_addr", port = "dst_port",
      l4proto = "protocol", proto = "protocol", iface = "interface", bytes = "byte_count", packets = "packet_count",
      pkts = "packet_count", flags = "tcp_flags" }) do
      assert.equal(ours, suggest.nearest(theirs, fields), theirs)
    end
    assert.is_nil(suggest.nearest("dport", { "allow", "deny" }))
  end)
  it("hints in words", function()
    assert.equal(' (did you mean "deny"?)', suggest.hint("denny", NAMES))
    assert.equal("", suggest.hint("qqqq", NAMES))
  end)
end)
