-- SPDX-License-Identifier: MIT
-- Captures to events: every format and link type, connections in the packets' own time, the cells' side, several files
-- in order. Files are made by the formats' books (capture_bytes); what is broken is capture_hostile_spec's.
local ffi = require("ffi")
local captures = require("capture_core")
local made = require("capture_bytes")
local packet = require("packet")
local seeded = require("seeded")

local C = ffi.C
local SECOND = 1000000000
local FIN, SYN, RST, ACK = 1, 2, 4, 16
local A, B = { "10.0.0.1", 40000 }, { "192.0.2.9", 443 }

-- An IPv4 packet of TCP from one end to the other.
local function tcp(from, to, flags, payload)
  return packet.ipv4({ protocol = packet.TCP, src = from[1], dst = to[1],
    payload = packet.tcp({ src = from[2], dst = to[2], flags = flags, payload = payload }) })
end

local function udp(from, to, payload)
  return packet.ipv4({ protocol = packet.UDP, src = from[1], dst = to[1],
    payload = packet.udp({ src = from[2], dst = to[2], payload = payload }) })
end

-- Entries at these times (in seconds after the epoch that all specs here have), as Ethernet frames.
local function entries(list, link, o)
  local out = {}
  for i, item in ipairs(list) do
    local at = item[1]
    local sec = math.floor(at)
    out[i] = { sec = 1700000000 + sec, ns = math.floor((at - sec) * SECOND + 0.5),
      bytes = made.link(link or made.ETHERNET, item[2], o or item[3]) }
  end
  return out
end

-- A connection that is closed in both directions, and one packet later enough for it to be told.
local function connection()
  return {
    { 0, tcp(A, B, SYN) }, { 0.1, tcp(B, A, SYN + ACK) }, { 0.2, tcp(A, B, ACK, ("x"):rep(100)) },
    { 0.3, tcp(B, A, ACK, ("y"):rep(1000)) }, { 0.4, tcp(A, B, FIN + ACK) }, { 0.5, tcp(B, A, FIN + ACK) },
    { 10, udp(A, { "192.0.2.53", 53 }, "query") },
  }
end

describe("a capture", function()
  local paths

  before_each(function() paths = {} end)
  after_each(function()
    for _, path in ipairs(paths) do os.remove(path) end
  end)

  local function write(bytes)
    local path = os.tmpname()
    local file = assert(io.open(path, "wb"))
    file:write(bytes)
    file:close()
    paths[#paths + 1] = path
    return path
  end

  local function read(bytes, o) return assert(captures.read({ write(bytes) }, o)) end

  -- "kind flow direction packets/bytes reply/bytes reason" of every event.
  local function lines(out)
    local list = {}
    for i, e in ipairs(out.events) do
      list[i] = ("%s %s %s %d/%d %d/%d %s"):format(e.kind, e.flow, e.direction, e.packets, e.bytes, e.reply_packets,
        e.reply_bytes, e.close_reason or "-")
    end
    return list
  end

  local CONNECTION = {
    "opened tcp 10.0.0.1 40000 192.0.2.9 443 egress 1/40 0/0 -",
    "closed tcp 10.0.0.1 40000 192.0.2.9 443 egress 3/220 3/1120 fin",
    "opened udp 10.0.0.1 40000 192.0.2.53 53 egress 1/33 0/0 -",
    "closed udp 10.0.0.1 40000 192.0.2.53 53 egress 1/33 0/0 shutdown",
  }

  it("is the frames of a recording, with the packets' own times", function()
    local out = read(made.pcap(entries(connection())))
    assert.same({ C.CF_FRAME_META, C.CF_FRAME_CELL, C.CF_FRAME_CLOCK, C.CF_FRAME_MOMENT, C.CF_FRAME_BATCH,
      C.CF_FRAME_BATCH, C.CF_FRAME_BATCH, C.CF_FRAME_BATCH, C.CF_FRAME_MOMENT, C.CF_FRAME_END }, out.frames)
    assert.same(CONNECTION, lines(out))
    local opened, closed = out.events[1], out.events[2]
    local begin = 1700000000ULL * SECOND
    assert.same({ begin, begin, begin, begin + SECOND / 2 }, { opened.first, opened.last, closed.first, closed.last })
    -- Told by the first look (each second) after it was quiet for the second that a finished connection is given.
    assert.equal(begin + 2 * SECOND, out.batches[2].now)
    for i, e in ipairs(out.events) do
      assert.same({ C.CF_SOURCE_REPLAY, 0, 0, i }, { e.source, e.hook, e.verdict, e.seq })
    end
    assert.same({ paths[1]:match("[^/]+$") }, out.cells)
    assert.same({ 7, 7, {}, 2 }, { out.numbers.packets, out.numbers.parsed, out.numbers.unparsed,
      out.numbers.flow_new })
    assert.equal(220 + 1120 + 33, out.numbers.network_bytes)
    assert.equal(220 + 1120 + 33 + 7 * 14, out.numbers.wire_bytes)
  end)

  it("is the same in every format and byte order", function()
    local list = entries(connection())
    local first = read(made.pcap(list))
    for _, o in ipairs({ { big = true }, { nano = true }, { nano = true, big = true } }) do
      assert.same(first.events, read(made.pcap(list, o)).events)
    end
    assert.same(first.events, read(made.pcapng(list)).events)
    assert.same(first.events, read(made.pcapng(list, { big = true })).events)
  end)

  it("is the same over every link type, but for ways that a cooked one knows", function()
    local links = { made.ETHERNET, made.RAW, made.IPV4, made.NULL, made.LOOP }
    for _, link in ipairs(links) do
      assert.same(CONNECTION, lines(read(made.pcap(entries(connection(), link), { link = link }))))
    end
    for _, link in ipairs({ made.SLL, made.SLL2 }) do
      local list = connection()
      for _, item in ipairs(list) do item[3] = { way = item[2]:sub(13, 16) == packet.address(A[1]) and 4 or 0 } end
      assert.same(CONNECTION, lines(read(made.pcap(entries(list, link), { link = link }))))
      -- And from the other side the first packet comes in.
      for _, item in ipairs(list) do item[3] = { way = 4 - item[3].way } end
      local other = lines(read(made.pcap(entries(list, link), { link = link })))
      for i, line in ipairs(CONNECTION) do assert.equal((line:gsub("egress", "ingress")), other[i]) end
    end
  end)

  it("has IPv6 in loopback frames of every system", function()
    local ip = packet.ipv6({ protocol = packet.UDP, payload = packet.udp({ payload = "abc" }) })
    for _, link in ipairs({ made.NULL, made.LOOP, made.RAW, made.IPV6 }) do
      for _, six in ipairs({ 10, 24, 28, 30 }) do
        local out = read(made.pcap(entries({ { 0, ip } }, link, { six = six }), { link = link }))
        assert.equal("opened udp 2001:db8::1 40000 2001:db8::2 53 egress 1/51 0/0 -", lines(out)[1])
      end
    end
    local swapped = made.link(made.NULL, ip):sub(1, 4):reverse() .. ip -- captured on a machine of the other order
    assert.equal(1, read(made.pcap({ { bytes = swapped } }, { link = made.NULL })).numbers.parsed)
    local other = read(made.pcap({ { bytes = "\7\0\0\0" .. ip } }, { link = made.NULL }))
    assert.same({ not_ip = 1 }, other.numbers.unparsed)
  end)

  it("keeps nanoseconds", function()
    local list = { { sec = 5, ns = 123456789, bytes = made.link(made.ETHERNET, udp(A, B, "")) } }
    assert.equal(5123456789ULL, read(made.pcap(list, { nano = true })).events[1].first)
    assert.equal(5123456789ULL, read(made.pcapng(list)).events[1].first)
    assert.equal(5123456000ULL, read(made.pcap(list)).events[1].first)
  end)

  it("closes by RST, by idleness, by reuse of ports, and at its end", function()
    local other = { B[1], 80 }
    local out = read(made.pcap(entries({
      { 0, tcp(A, B, SYN) }, { 0, udp(A, B) }, { 0, tcp(A, other, SYN) }, { 0.5, tcp(B, A, RST) },
      { 0.6, tcp(A, other, FIN) }, { 0.7, tcp(A, other, SYN) }, { 50, tcp(A, other, ACK) }, { 70, tcp(A, other, ACK) },
    })))
    local ends = {}
    for _, e in ipairs(out.events) do
      if e.kind == "closed" then ends[#ends + 1] = e.flow:match("^%a+") .. e.flow:match("%d+$") .. e.close_reason end
    end
    assert.same({ "tcp80fin", "tcp443rst", "udp443idle", "tcp80shutdown" }, ends)
  end)

  it("tells updates in the packets' time", function()
    local list = {}
    for i = 0, 34 do list[#list + 1] = { i, udp(A, B, "x") } end
    local out = read(made.pcap(entries(list)), { events = { "opened", "updated", "closed" } })
    local packets = {}
    for _, e in ipairs(out.events) do
      if e.kind == "updated" then packets[#packets + 1] = e.packets end
    end
    assert.same({ 10, 20, 30 }, packets)
    assert.equal(35, out.events[#out.events].packets)
    local some = read(made.pcap(entries(list)), { events = { "updated" }, update = 7 })
    assert.same({ 7, 14, 21, 28 }, { some.events[1].packets, some.events[2].packets, some.events[3].packets,
      some.events[4].packets })
    assert.equal(4, #some.events)
  end)

  it("opens by default only, as a live run does, and takes idle times and table sizes", function()
    local list = entries({ { 0, udp(A, B) }, { 3, udp(A, B) }, { 9, udp(A, B) } })
    local out = read(made.pcap(list), { events = {} })
    assert.equal(1, #out.events)
    assert.equal(2, read(made.pcap(list), { events = { "opened" }, idle = { 300, 5, 30, 60 } }).numbers.flow_new)
    local many = {}
    for i = 1, 200 do many[i] = { i / 1000, udp({ A[1], i }, B) } end
    local small = read(made.pcap(entries(many)), { entries = 15 })
    local evicted = 0
    for _, e in ipairs(small.events) do
      if e.close_reason == "evicted" then evicted = evicted + 1 end
    end
    assert.same({ 400, 185 }, { #small.events, evicted })
  end)

  it("crosses years without a packet at once, and never goes back", function()
    local list = entries({ { 0, udp(A, B) }, { 1e8, udp(A, B) }, { 5, udp(A, B) }, { 1e9, udp(A, B) } })
    local out = read(made.pcap(list))
    assert.same({ 4, 1, 0 }, { out.numbers.packets, out.numbers.backwards, out.numbers.misdated })
    assert.same({ 3, 2 }, { out.numbers.flow_new, out.events[3].kind == "opened" and #out.events / 3 })
    assert.equal(out.events[3].first, out.events[4].last) -- the one from the past was counted in the present
    list[2].sec = 2 ^ 34 -- beyond 2262
    local odd = read(made.pcapng(list))
    assert.equal(1, odd.numbers.misdated)
    assert.equal(4, odd.numbers.packets)
  end)

  it("makes batches that are neither too long nor too wide", function()
    local list = {}
    for i = 1, 5000 do list[i] = { i < 3000 and 0 or i / 1000, udp({ A[1], i }, B) } end
    local out, seen = read(made.pcap(entries(list))), 0
    for _, batch in ipairs(out.batches) do
      seen = seen + #batch.events
      assert.is_true(#batch.events <= 256)
      local first = batch.events[1]
      if first.kind == "opened" then assert.is_true(batch.now - first.first <= 5000000ULL) end
      for _, e in ipairs(batch.events) do assert.is_true(e.last <= batch.now) end
    end
    assert.same({ 10000, 10000, #out.batches }, { seen, out.numbers.events, out.numbers.batches })
  end)

  it("says the same twice, byte by byte", function()
    local r, list = seeded.new(11), {}
    for i = 1, 3000 do
      list[i] = { i / 50, tcp({ "10.0.0." .. r:below(9) + 1, 1000 + r:below(40) }, B, r:below(32), "data") }
    end
    local bytes = made.pcap(entries(list))
    local first = read(bytes, { cell = "one" })
    assert.equal(first.bytes, read(bytes, { cell = "one" }).bytes)
    local packets, network = 0, 0
    for _, e in ipairs(first.events) do
      if e.kind == "closed" then
        packets = packets + e.packets + e.reply_packets
        network = network + e.bytes + e.reply_bytes
      end
    end
    assert.same({ 3000, 3000 * 44 }, { packets, network })
  end)

  it("is merged with others by time", function()
    local r, all, parts = seeded.new(3), {}, { {}, {}, {} }
    for i = 1, 900 do
      local item = { i / 100, udp({ "10.0.0." .. r:below(9) + 1, 1000 + r:below(40) }, B, "data") }
      all[i] = item
      table.insert(r:pick(parts), item)
    end
    local whole = read(made.pcap(entries(all)), { cell = "one" })
    local merged = assert(captures.read({ write(made.pcap(entries(parts[1]))), write(made.pcapng(entries(parts[2]))),
      write(made.pcap(entries(parts[3], made.RAW), { link = made.RAW, big = true })) }, { cell = "one" }))
    assert.same(whole.events, merged.events)
    assert.same({ 0, 900 }, { merged.numbers.backwards, merged.numbers.packets })
    assert.same({ "EN10MB", "EN10MB", "RAW" }, { merged.files[1].link, merged.files[2].link, merged.files[3].link })
    assert.equal(900, merged.files[1].packets + merged.files[2].packets + merged.files[3].packets)
  end)

  it("counts what was captured in part as if it were whole, and what is no flow by its reason", function()
    local cut = made.link(made.ETHERNET, tcp(A, B, SYN, ("x"):rep(1400)))
    local short = made.link(made.ETHERNET, tcp({ A[1], 7 }, B, SYN, ("x"):rep(1400)))
    local padded = made.link(made.ETHERNET, udp(A, B, "")) .. ("\0"):rep(18)
    local out = read(made.pcap({
      { bytes = cut:sub(1, 60), len = #cut }, { bytes = short:sub(1, 50), len = #short }, { bytes = padded },
      { bytes = packet.eth(packet.ARP, ("\0"):rep(28)) }, { bytes = cut:sub(1, 10) }, { bytes = "" },
      { bytes = packet.eth(packet.IPV4, "\64" .. ("\0"):rep(30)) },
    }))
    assert.same({ not_ip = 1, truncated = 3, bad_header = 1 }, out.numbers.unparsed)
    assert.same({ 2, 2 }, { out.numbers.parsed, out.numbers.cut })
    local bytes = {}
    for _, e in ipairs(out.events) do bytes[e.flow:match("^%a+")] = e.bytes end
    assert.same({ tcp = 1440, udp = 28 }, bytes)
  end)

  it("reads VLAN tags and fragments", function()
    local tagged = packet.eth(packet.QINQ, packet.tag(7, packet.VLAN, packet.tag(9, packet.IPV4, udp(A, B, "a"))))
    local later = packet.ipv4({ protocol = packet.UDP, src = A[1], dst = B[1], offset = 100, payload = "rest" })
    local out = read(made.pcap({ { bytes = tagged }, { bytes = packet.eth(packet.IPV4, later) } }))
    assert.same({ 7, 29 }, { out.events[1].vlan, out.events[1].bytes })
    assert.same({ "opened udp 10.0.0.1 0 192.0.2.9 0 egress 1/24 0/0 -", C.CF_EVENT_FRAGMENT },
      { lines(out)[2], out.events[2].flags })
  end)
end)

describe("the side of a cell in a capture", function()
  local path

  before_each(function() path = os.tmpname() end)
  after_each(function() os.remove(path) end)

  local function read(list, o, link)
    local file = assert(io.open(path, "wb"))
    file:write(made.pcap(entries(list, link), { link = link }))
    file:close()
    return captures.read({ path }, o)
  end

  -- "cell flow direction" of every event.
  local function told(list, o, link)
    local out, names = assert(read(list, o, link)), {}
    for i, e in ipairs(out.events) do names[i] = ("%s %s %s"):format(out.cells[e.cell + 1], e.flow, e.direction) end
    return names, out
  end

  local X, Y, Z = { "10.1.0.5", 1 }, { "10.2.0.5", 2 }, { "192.0.2.1", 3 }

  it("is that of its networks: packets of no cell are left out, those between two are told of both", function()
    local list = { { 0, udp(Z, X) }, { 0, udp(X, Z) }, { 1, udp(X, Y) }, { 2, udp(Z, { "192.0.2.2", 9 }) },
      { 3, udp(Y, Z) }, { 4, udp({ "10.1.0.6", 4 }, X) } }
    local names, out = told(list, { events = { "opened" }, nets = { "red=10.1.0.0/16", "10.2.0.5" }, cell = "blue" })
    assert.same({ "red udp 192.0.2.1 3 10.1.0.5 1 ingress", "red udp 10.1.0.5 1 10.2.0.5 2 egress",
      "blue udp 10.1.0.5 1 10.2.0.5 2 ingress", "blue udp 10.2.0.5 2 192.0.2.1 3 egress",
      "red udp 10.1.0.6 4 10.1.0.5 1 egress" }, names)
    assert.same({ 1, 1, 6 }, { out.numbers.foreign, out.numbers.between, out.numbers.parsed })
    assert.same({ 1, 2, 1, 2, 3 }, { out.events[1].seq, out.events[2].seq, out.events[3].seq, out.events[4].seq,
      out.events[5].seq })
  end)

  it("is that of the longest prefix, bit by bit, in both families", function()
    local v6 = packet.ipv6({ protocol = packet.UDP, src = "2001:db8:8000::1", dst = "2001:db8:7fff::1",
      payload = packet.udp({}) })
    local names = told({ { 0, udp(X, Y) }, { 0, v6 } }, { events = { "opened" },
      nets = { "all=0.0.0.0/0", "x=10.1.0.0/17", "six=2001:db8:8000::/33" } })
    assert.same({ "x udp 10.1.0.5 1 10.2.0.5 2 egress", "all udp 10.1.0.5 1 10.2.0.5 2 ingress",
      "six udp 2001:db8:8000::1 40000 2001:db8:7fff::1 53 egress" }, names)
  end)

  it("keeps both directions of a flow within a cell apart, whoever began", function()
    local out = assert(read({ { 0, udp(Z, X, "question") }, { 0, udp(X, Z) }, { 1, udp(X, Z) } },
      { events = { "closed" } }))
    local e = out.events[1]
    assert.same({ "udp 192.0.2.1 3 10.1.0.5 1", "egress", 1, 36, 2, 56 },
      { e.flow, e.direction, e.packets, e.bytes, e.reply_packets, e.reply_bytes })
  end)

  it("is that of its MAC address; what goes to a group arrives", function()
    local cell, router, group = "\2\0\0\0\0\1", "\2\0\0\0\0\2", "\1\0\94\0\0\1"
    local list = { { 0, udp(X, Z), { mac = cell, to = router } }, { 1, udp(Y, X), { mac = router, to = cell } },
      { 2, udp(Z, { "224.0.0.1", 5 }), { mac = router, to = group } },
      { 3, udp(X, { "224.0.0.1", 5 }), { mac = cell, to = group } },
      { 4, udp(Z, Y), { mac = router, to = "\2\0\0\0\0\9" } } }
    local names, out = told(list, { events = { "opened" }, macs = { "02:00:00:00:00:01" }, cell = "one" })
    assert.same({ "one udp 10.1.0.5 1 192.0.2.1 3 egress", "one udp 10.2.0.5 2 10.1.0.5 1 ingress",
      "one udp 192.0.2.1 3 224.0.0.1 5 ingress", "one udp 10.1.0.5 1 224.0.0.1 5 egress" }, names)
    assert.equal(1, out.numbers.foreign)
    local cooked = { { 0, udp(X, Z), { mac = cell, way = 4 } }, { 1, udp(Y, X), { mac = router, way = 0 } },
      { 2, udp(Y, Z), { mac = router, way = 3 } } }
    for _, link in ipairs({ made.SLL, made.SLL2 }) do
      names, out = told(cooked, { events = { "opened" }, macs = { "02:00:00:00:00:01" }, cell = "one" }, link)
      assert.same({ "one udp 10.1.0.5 1 192.0.2.1 3 egress", "one udp 10.2.0.5 2 10.1.0.5 1 ingress" }, names)
      assert.equal(1, out.numbers.foreign)
    end
  end)

  it("is refused, with the words, where it cannot be understood", function()
    local list = { { 0, udp(X, Y) } }
    for text, why in pairs({ ["10.0.0.0/33"] = "want [NAME=]ADDRESS[/BITS]", ["10.0.0/8"] = "want [NAME=]",
      ["::/129"] = "want", ["10.0.0.0/"] = "want", ["10.0.0.0/8x"] = "want", ["=10.0.0.0/8"] = "a cell's name has",
      [("n"):rep(64) .. "=10.0.0.0/8"] = "a cell's name has 1 to 63 bytes", [""] = "want" }) do
      local out, err = read(list, { nets = { text } })
      assert.is_nil(out)
      assert.truthy(err:find("--cell-net: \"" .. text .. "\": ", 1, true), err)
      assert.truthy(err:find(why, 1, true), err)
    end
    for _, text in ipairs({ "02:00:00:00:00", "02-00-00-00-00-01", "02:00:00:00:00:0g", "2:0:0:0:0:1" }) do
      local _, err = read(list, { macs = { text } })
      assert.equal(('--cell-mac: "%s": want [NAME=]xx:xx:xx:xx:xx:xx'):format(text), err)
    end
    local _, err = read(list, { nets = { "a=10.0.0.0/8" }, cell = "b" })
    assert.equal("--cell-name: each --cell-net and --cell-mac has a name of its own", err)
    _, err = read(list, { cell = "" })
    assert.equal("--cell-name: \"\": a cell's name has 1 to 63 bytes", err)
    local out, why, kind = read({ { 0, udp(X, Y) } }, { macs = { "02:00:00:00:00:01" } }, made.RAW)
    assert.is_nil(out)
    assert.truthy(why:find("have no MAC addresses (link type RAW): use --cell-net", 1, true), why)
    assert.equal(C.CF_FAIL_USAGE, kind)
  end)
end)
