-- SPDX-License-Identifier: MIT
-- Captures against another reader of the same files: what real senders sent and tcpdump captured has the flows, packets
-- and bytes that tshark's conversations count. VLAN tags are sent by packet sockets: the lab has no such device.
local lab = require("spec.support.lab")
local captures = require("capture_core")
local packet = require("packet")
local sockets = require("sockets")
local tcpdump = require("tcpdump")
local tshark = require("tshark")

local LINK_LEN = { EN10MB = 14, LINUX_SLL = 16, LINUX_SLL2 = 20 }

describe("a capture", function()
  local lacking = lab.lacking() or tshark.lacking()
  if lacking then return pending(lacking) end

  local here, directory

  before_each(function()
    directory = lab.must("mktemp -d"):match("%S+")
    lab.must("chmod 755 " .. directory)
  end)
  after_each(function()
    if here then here:down() end
    here = nil
    lab.must("rm -r " .. directory)
  end)

  local function count(found)
    local n = 0
    for _ in pairs(found) do n = n + 1 end
    return n
  end

  -- Every conversation of every kind; returns how many directions of each there were.
  local function compare(path, link_len)
    local out, sizes = assert(captures.read({ path }, { idle = { 86400, 86400, 86400, 86400 } })), {}
    assert.is_nil(out.error)
    link_len = link_len or LINK_LEN[out.files[1].link]
    local conversations = tshark.conversations(path)
    for _, kind in ipairs({ "tcp", "udp", "ip", "ipv6" }) do
      assert.same(conversations[kind], tshark.flows(out.events, kind, link_len))
      sizes[kind] = count(conversations[kind])
    end
    assert.same(tshark.frames(path), tshark.flows(out.events, "frames", link_len))
    return sizes, out
  end

  -- Connections and datagrams of both families, pings and datagrams that are cut into fragments, and refusals.
  local function send()
    here:send("--flows 40 --packets 5 --payload 200")
    here:send("--flows 8 --packets 7 --payload 1200 --seed 2")
    for _, to in ipairs({ lab.peer4, lab.peer6 }) do
      here:exec("cell", "ping -q -c 2 -i 0.05 -s 4000 " .. to)
      here:exec("cell", "ping -q -c 2 -i 0.05 " .. to)
      here:exec("cell", ("bash -c 'dd if=/dev/zero bs=5000 count=1 status=none >/dev/udp/%s/9001'"):format(to))
    end
    here:exec("cell", ("bash -c ': >/dev/tcp/%s/7' 2>/dev/null || true"):format(lab.peer4))
    here:exec("cell", ("bash -c 'echo x >/dev/udp/%s/7'"):format(lab.peer4))
  end

  local function lab_captures(...)
    here = lab.up()
    here:serve()
    local running = {}
    for i, options in ipairs({ ... }) do
      running[i] = tcpdump.start(here, ("%s/%d.pcap"):format(directory, i), options)
    end
    send()
    tcpdump.stop(here, unpack(running))
  end

  it("of a lab's interface, whole and cut off, pcap and pcapng", function()
    lab_captures("-i eth0", "-i eth0 -s 100", "-i eth0 --time-stamp-precision=nano")
    local sizes, out = compare(directory .. "/1.pcap")
    assert.is_true(sizes.tcp >= 2 * 24 and sizes.udp >= 24 + 2)
    assert.same({ 2, true }, { sizes.ip, sizes.ipv6 >= 2 })
    assert.equal(0, out.numbers.cut)
    local fragments = 0
    for _, e in ipairs(out.events) do
      if e.kind == "closed" and e.flags == 32 then fragments = fragments + e.packets + e.reply_packets end
    end
    assert.equal(2 * (2 * 2 * 2 + 3), fragments) -- of a ping there and back two, of a datagram three, in each family
    local _, cut = compare(directory .. "/2.pcap")
    assert.is_true(cut.numbers.cut > 40)
    local _, nano = compare(directory .. "/3.pcap")
    -- They began one after the other, so that the kernel's own reports to groups may be in some only.
    local function of_hosts(events)
      local frames, named = tshark.flows(events, "frames", 0), {}
      for key, sum in pairs(frames) do
        if not key:find("ff02::", 1, true) then named[key] = sum end
      end
      return named
    end
    for _, other in ipairs({ cut, nano }) do assert.same(of_hosts(out.events), of_hosts(other.events)) end
    lab.must(("editcap -F pcapng %s/3.pcap %s/3.pcapng 2>&1"):format(directory, directory))
    local _, pcapng = compare(directory .. "/3.pcapng")
    assert.same(nano.events, pcapng.events)
  end)

  it("of all a cell's interfaces, cooked in both ways", function()
    lab_captures("-i any -y LINUX_SLL", "-i any -y LINUX_SLL2")
    for i, link in ipairs({ "LINUX_SLL", "LINUX_SLL2" }) do
      local sizes, out = compare(("%s/%d.pcap"):format(directory, i))
      assert.equal(link, out.files[1].link)
      assert.is_true(sizes.tcp >= 2 * 24)
      for _, e in ipairs(out.events) do
        local is_own = e.src == lab.cell4 or e.src == lab.cell6 or e.src:find("^fe80") or e.src == "::"
        if e.dst:find("^10%.") or e.dst:find("^fd77") then
          assert.equal(is_own and "egress" or "ingress", e.direction, e.flow)
        end
      end
    end
  end)

  it("in parts that are merged, and merged with itself", function()
    lab_captures("-i eth0")
    local path = directory .. "/1.pcap"
    local _, whole = compare(path)
    local parts = { directory .. "/a.pcapng", directory .. "/b.pcap" }
    lab.must(("tshark -r %s -Y 'ipv6 or tcp' -w %s 2>/dev/null"):format(path, parts[1]))
    lab.must(("tshark -r %s -Y 'not (ipv6 or tcp)' -F pcap -w %s 2>/dev/null"):format(path, parts[2]))
    local merged = assert(captures.read(parts))
    assert.same({ whole.numbers.packets, 0 }, { merged.numbers.packets, merged.numbers.backwards })
    for _, kind in ipairs({ "tcp", "udp", "frames" }) do
      assert.same(tshark.flows(whole.events, kind, 0), tshark.flows(merged.events, kind, 0))
    end
    local twice = assert(captures.read({ path, path }))
    assert.same({ whole.numbers.flow_new, 2 * whole.numbers.packets, 2 * whole.numbers.network_bytes },
      { twice.numbers.flow_new, twice.numbers.packets, twice.numbers.network_bytes })
  end)

  it("with VLAN tags, one and two", function()
    here = lab.up()
    here:serve()
    local function frames(wrap)
      for i = 1, 30 do
        local six, udp = i % 2 == 0, i % 3 == 0
        local protocol = udp and packet.UDP or packet.TCP
        local p = { protocol = protocol, payload = udp and packet.udp({ src = 1000 + i % 7, payload = ("x"):rep(i) })
          or packet.tcp({ src = 2000 + i % 5, flags = 16, payload = ("y"):rep(2 * i) }) }
        sockets.frame(here.cell, "eth0", wrap(six and packet.IPV6 or packet.IPV4, six and packet.ipv6(p)
          or packet.ipv4(p)))
      end
    end
    -- What a packet socket sent and tcpdump captured; a marker, which has no tag, and what else there was left out.
    local function sent(name, wrap)
      local all, path = ("%s/%s.all"):format(directory, name), ("%s/%s.pcap"):format(directory, name)
      local running = tcpdump.start(here, all, "-i eth0")
      frames(wrap)
      tcpdump.stop(here, running)
      lab.must(("tshark -r %s -Y vlan -F pcap -w %s 2>/dev/null"):format(all, path))
      return path
    end
    local one = compare(sent("one", function(ethertype, bytes)
      return packet.eth(packet.VLAN, packet.tag(100, ethertype, bytes))
    end), 14 + 4)
    local two, out = compare(sent("two", function(ethertype, bytes)
      return packet.eth(packet.QINQ, packet.tag(200, packet.VLAN, packet.tag(100, ethertype, bytes)))
    end), 14 + 8)
    assert.same({ tcp = 10, udp = 10, ip = 1, ipv6 = 1 }, one)
    assert.same(one, two)
    for _, e in ipairs(out.events) do assert.equal(200, e.vlan) end
  end)
end)
