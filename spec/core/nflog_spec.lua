-- SPDX-License-Identifier: MIT
--
-- NFLOG's messages, byte by byte: fields, hooks and directions, prefixes, gaps, and messages that no kernel would send.
local ffi = require("ffi")
local helper = require("spec.helper")
local nflog = require("nflog_message")
local packet = require("packet")
local seeded = require("seeded")

local C, core = ffi.C, helper.core
local EGRESS, INGRESS = C.CF_DIRECTION_EGRESS, C.CF_DIRECTION_INGRESS
local NETDEV, BRIDGE, ARP, INET = 5, 7, 3, 1
local udp4 = packet.ipv4({ protocol = packet.UDP, payload = packet.udp({ payload = "12345" }) })
local tcp6 = packet.ipv6({ protocol = packet.TCP, payload = packet.tcp({ flags = 0x12 }) })

local function one(message, ifindex)
  local list = nflog.decode(nflog.reader(ifindex), message)
  assert.equal(1, #list)
  return list[1]
end

describe("an NFLOG message", function()
  it("is a packet with all that it says", function()
    local seen = one(nflog.log({ payload = udp4, prefix = "cellflow:deny:dns", seq = 0, mark = 0xdeadbeef, outdev = 3,
      indev = 2, more = nflog.attribute(nflog.TIMESTAMP, ("\1"):rep(16)) }))
    assert.same({ C.CF_STAT_PARSED, 4, 17, 7 }, { seen.parse, seen.key.family, seen.key.protocol, seen.key.cell })
    assert.same({ 40000, 53, 0 }, { seen.key.port[0], seen.key.port[1], seen.source_end })
    assert.same({ C.CF_HOOK_NF_OUTPUT, EGRESS, 3 }, { seen.hook, seen.direction, seen.ifindex })
    assert.equal(0xdeadbeef, seen.mark)
    assert.equal(C.CF_VERDICT_DROP, seen.verdict)
    assert.equal("cellflow:deny:dns", ffi.string(seen.prefix))
    assert.same({ 1, 33, 123456789 },
      { tonumber(seen.load.packets), tonumber(seen.load.bytes), tonumber(seen.load.now) })
    assert.equal(123456789, tonumber(seen.time_ns))
  end)

  it("of IPv6 is told by its family, whatever the ethertype says", function()
    local seen = one(nflog.log({ family = 10, protocol = packet.ARP, payload = tcp6, hook = 1, indev = 4 }))
    assert.same({ C.CF_STAT_PARSED, 6, 6, 0x12 }, { seen.parse, seen.key.family, seen.key.protocol,
      seen.facts.tcp_flags })
    assert.same({ C.CF_HOOK_NF_INPUT, INGRESS, 4, C.CF_VERDICT_UNKNOWN },
      { seen.hook, seen.direction, seen.ifindex, seen.verdict })
  end)

  local hooks = {
    { 2, 0, C.CF_HOOK_NF_PREROUTING, INGRESS }, { 2, 1, C.CF_HOOK_NF_INPUT, INGRESS },
    { 2, 2, C.CF_HOOK_NF_FORWARD, EGRESS }, { 2, 3, C.CF_HOOK_NF_OUTPUT, EGRESS },
    { 2, 4, C.CF_HOOK_NF_POSTROUTING, EGRESS }, { 2, 5, C.CF_HOOK_NF_INGRESS, INGRESS },
    { INET, 3, C.CF_HOOK_NF_OUTPUT, EGRESS }, { BRIDGE, 0, C.CF_HOOK_NF_PREROUTING, INGRESS },
    { NETDEV, 0, C.CF_HOOK_NF_INGRESS, INGRESS }, { NETDEV, 1, C.CF_HOOK_NF_EGRESS, EGRESS },
    { ARP, 0, C.CF_HOOK_NF_INPUT, INGRESS }, { ARP, 1, C.CF_HOOK_NF_OUTPUT, EGRESS },
    { 2, 6, 0, EGRESS }, { NETDEV, 2, 0, EGRESS }, { ARP, 3, 0, EGRESS }, { 99, 0, 0, EGRESS }, { 2, 255, 0, EGRESS },
  }
  for _, h in ipairs(hooks) do
    it(("of family %d and hook %d has hook %d and direction %d"):format(unpack(h)), function()
      local seen = one(nflog.log({ family = h[1], hook = h[2], payload = udp4, indev = 5, outdev = 6 }))
      assert.same({ h[3], h[4] }, { seen.hook, seen.direction })
      assert.equal(h[4] == EGRESS and 6 or 5, seen.ifindex)
    end)
  end

  it("that was forwarded goes the way that the cell's interface says", function()
    local function forwarded(indev, outdev)
      local seen = one(nflog.log({ hook = 2, payload = udp4, indev = indev, outdev = outdev }), 5)
      return { seen.direction, seen.ifindex }
    end
    assert.same({ INGRESS, 5 }, forwarded(5, 6))
    assert.same({ EGRESS, 5 }, forwarded(6, 5))
    assert.same({ EGRESS, 5 }, forwarded(5, 5))
    assert.same({ EGRESS, 7 }, forwarded(6, 7))
  end)

  it("of a device's egress begins with the link header, or with none where the caller says so", function()
    local message = nflog.log({ family = NETDEV, hook = 1, payload = packet.eth(packet.IPV4, udp4) })
    assert.same({ C.CF_STAT_PARSED, 33 }, { one(message).parse, tonumber(one(message).load.bytes) })
    local reader = nflog.reader()
    reader.egress_link_len = 0
    local seen = nflog.decode(reader, nflog.log({ family = NETDEV, hook = 1, payload = udp4 }))[1]
    assert.same({ C.CF_STAT_PARSED, 33 }, { seen.parse, tonumber(seen.load.bytes) })
  end)

  it("is counted by why it could not be read, and handed on without a weight", function()
    local reader = nflog.reader()
    local list = nflog.decode(reader, nflog.log({ payload = udp4 }) .. nflog.log({ payload = udp4:sub(1, 27) })
      .. nflog.log({}) .. nflog.log({ family = 0, protocol = packet.ARP, payload = ("\0"):rep(28) })
      .. nflog.log({ payload = tcp6 }))
    assert.equal(5, #list)
    local n = reader.numbers
    assert.same({ 5, 1, 1, 2, 1, 0, 0 }, { tonumber(n.packets), tonumber(n.parsed), tonumber(n.unparsed[0]),
      tonumber(n.unparsed[1]), tonumber(n.unparsed[2]), tonumber(n.unparsed[3]), tonumber(n.unparsed[4]) })
    assert.equal(C.CF_STAT_UNPARSED_TRUNCATED, list[2].parse)
    assert.equal(0, tonumber(list[2].load.bytes))
  end)

  it("keeps nothing of the one before", function()
    local reader = nflog.reader()
    local list = nflog.decode(reader, nflog.log({ payload = tcp6, family = 10, prefix = "cellflow:deny:long", mark = 9,
      outdev = 3 }) .. nflog.log({ payload = udp4, prefix = "x" }) .. nflog.log({ payload = udp4 })
      .. nflog.log({ payload = udp4, prefix = "cellflow:allow:" }))
    local second, third, fourth = list[2], list[3], list[4]
    assert.same({ "x", 0, 0, 0 }, { ffi.string(second.prefix), second.verdict, second.mark, second.ifindex })
    assert.equal(("\0"):rep(127), ffi.string(second.prefix + 1, 127))
    assert.equal(("\0"):rep(12), ffi.string(second.key.addr[0] + 4, 12))
    assert.same({ "", 0, 0 }, { ffi.string(third.prefix), third.prefix_len, third.verdict })
    assert.equal(C.CF_VERDICT_ACCEPT, fourth.verdict)
  end)
end)

describe("an NFLOG prefix", function()
  local function parsed(text)
    local verdict, rule, len = ffi.new("uint8_t[1]"), ffi.new("const char *[1]"), ffi.new("size_t[1]")
    local known = core.cf_prefix_parse(text, verdict, rule, len)
    return { known, verdict[0], rule[0] ~= nil and ffi.string(rule[0], len[0]) or false }
  end

  it("has a verdict and a rule when it follows the convention, and else neither", function()
    assert.same({ 1, 2, "web" }, parsed("cellflow:deny:web"))
    assert.same({ 1, 1, "a b:c" }, parsed("cellflow:allow:a b:c"))
    assert.same({ 1, 2, "web" }, parsed("cellflow:deny:web  "))
    assert.same({ 1, 2, "" }, parsed("cellflow:deny:"))
    for _, text in ipairs({ "", "cellflow:", "cellflow:deny", "cellflow:denyx:web", "Cellflow:deny:web",
      " cellflow:deny:x", "drop", "cellflow:reject:web" }) do
      assert.same({ 0, 0, false }, parsed(text))
    end
  end)

  it("is kept to 127 bytes, with or without its end", function()
    local long = ("p"):rep(300)
    assert.equal(long:sub(1, 127), ffi.string(one(nflog.log({ payload = udp4, prefix = long })).prefix))
    local bare = nflog.attribute(nflog.PREFIX, "cellflow:deny:x")
    assert.equal("cellflow:deny:x", ffi.string(one(nflog.log({ payload = udp4, more = bare })).prefix))
    local cut = nflog.attribute(nflog.PREFIX, "ab\0cd\0")
    assert.equal("ab", ffi.string(one(nflog.log({ payload = udp4, more = cut })).prefix))
  end)
end)

describe("the numbers of NFLOG messages", function()
  local function lost(seqs, first)
    local reader = nflog.reader()
    reader.next_seq = first or 0
    for _, seq in ipairs(seqs) do nflog.decode(reader, nflog.log({ payload = udp4, seq = seq })) end
    return tonumber(reader.numbers.lost)
  end

  it("show every packet that is missing, from the first on and around the end of 32 bits", function()
    assert.equal(0, lost({ 0, 1, 2, 3 }))
    assert.equal(4, lost({ 4, 5 }))
    assert.equal(7, lost({ 0, 3, 4, 10 }))
    assert.equal(0, lost({ 4294967294, 4294967295, 0, 1 }, 4294967294))
    assert.equal(3, lost({ 4294967294, 1, 2, 4 }, 4294967294))
  end)

  it("that begin anew are no loss, and a packet without one changes nothing", function()
    assert.equal(1, lost({ 0, 1, 0, 1, 3 }))
    local reader = nflog.reader()
    nflog.decode(reader, nflog.log({ payload = udp4, seq = 0 }) .. nflog.log({ payload = udp4 })
      .. nflog.log({ payload = udp4, seq = 1 }))
    assert.same({ 3, 0 }, { tonumber(reader.numbers.packets), tonumber(reader.numbers.lost) })
  end)
end)

describe("a malformed netlink message", function()
  local good = nflog.log({ payload = udp4, seq = 0, prefix = "x" })
  local general = "\2\0\0\100"
  local header = nflog.attribute(nflog.HDR, "\8\0\3\0")

  local function outcome(bytes)
    local reader = nflog.reader()
    nflog.decode(reader, bytes)
    return { tonumber(reader.numbers.packets), tonumber(reader.numbers.refused) }
  end

  it("is counted, and the ones after it are read", function()
    for name, bad in pairs({
      ["of another kind"] = nflog.message(0x401, general .. header),
      ["of another subsystem"] = nflog.message(0x100, general .. header),
      ["that is an error"] = nflog.message(nflog.ERROR, ("\0"):rep(20)),
      ["without its family"] = nflog.message(nflog.PACKET, "\2\0\0"),
      ["without anything"] = nflog.message(nflog.PACKET, ""),
      ["without a packet header"] = nflog.message(nflog.PACKET, general .. nflog.attribute(nflog.PAYLOAD, udp4)),
      ["with a short packet header"] = nflog.message(nflog.PACKET, general .. nflog.attribute(nflog.HDR, "\8\0\3")),
      ["with a short number"] = nflog.message(nflog.PACKET, general .. header .. nflog.attribute(nflog.MARK, "\1\2\3")),
      ["with an attribute of no length"] = nflog.message(nflog.PACKET, general .. header
        .. nflog.attribute(nflog.MARK, "\1\2\3\4", 0)),
      ["with an attribute past its end"] = nflog.message(nflog.PACKET, general .. header
        .. nflog.attribute(nflog.PAYLOAD, udp4, 400)),
      ["with half an attribute"] = nflog.message(nflog.PACKET, general .. header .. "\8\0"),
    }) do
      assert.same({ 2, 1 }, outcome(good .. bad .. good), name)
    end
  end)

  it("whose length is not to be believed ends the reading", function()
    assert.same({ 1, 1 }, outcome(good .. nflog.message(nflog.PACKET, udp4, 15) .. good))
    assert.same({ 1, 1 }, outcome(good .. nflog.message(nflog.PACKET, udp4, 0) .. good))
    assert.same({ 1, 1 }, outcome(good .. nflog.message(nflog.PACKET, udp4, 4096) .. good))
    assert.same({ 1, 1 }, outcome(good .. ("\0"):rep(7)))
    assert.same({ 0, 0 }, outcome(""))
  end)

  it("is not the mark at the end of a batch", function()
    assert.same({ 2, 0 }, outcome(good .. nflog.message(nflog.DONE, general) .. nflog.message(nflog.NOOP, "") .. good))
  end)

  it("of any bytes is no more than counted", function()
    local r = seeded.new(20261123)
    local stream = good .. nflog.log({ family = 10, payload = tcp6, seq = 1, mark = 3, outdev = 2 }) .. good
    local reader, bytes = nflog.reader(), ffi.new("uint8_t[?]", #stream)
    for _ = 1, 3000 do
      ffi.copy(bytes, stream, #stream)
      for _ = 1, 1 + r:below(6) do bytes[r:below(#stream)] = r:below(256) end
      nflog.decode(reader, ffi.string(bytes, r:below(3) == 0 and r:below(#stream) or #stream))
    end
    local n = nflog.numbers(reader)
    assert.equal(n.packets, n.parsed + n.unparsed)
    assert.is_true(n.packets > 2000 and n.refused > 1000)
  end)
end)
