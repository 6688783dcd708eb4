-- SPDX-License-Identifier: MIT
-- NFLOG on real rules: what the socket says of packets of both families, that seen and lost add up to what nft counted,
-- and what becomes of the socket when others have the group, lie, or take the namespace away.
local ffi = require("ffi")
local lab = require("spec.support.lab")
local flow_list = require("flow_list")
local netns = require("netns")
local nflog_socket = require("nflog_socket")
local packet = require("packet")
local sockets = require("sockets")
local system = require("system")

ffi.cdef("int getsockname(int fd, void *address, uint32_t *len);")

local C = ffi.C
local ATTACH, USAGE, UNSUPPORTED = C.CF_FAIL_ATTACH, C.CF_FAIL_USAGE, C.CF_FAIL_UNSUPPORTED_HOST

-- The counters are the witness: they are in the same rule as the log.
local RULES = [[
table inet cell {
  counter denied {}
  counter allowed {}
  chain output { type filter hook output priority 0;
    udp dport 9000-9015 counter name denied log prefix "cellflow:deny:dns" group 100 queue-threshold 64 drop
    tcp dport 9000-9015 counter name allowed log prefix "cellflow:allow:web" group 100 queue-threshold 64
  }
}]]

describe("an NFLOG socket", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here
  before_each(function() here = lab.up() end)
  after_each(function()
    nflog_socket.close_all()
    sockets.close_all()
    here:down()
    netns.remove_all()
  end)

  local function text_of(address, family)
    local out = ffi.new("char[46]")
    local core = require("spec.helper").core
    core.cf_address_text(address, family, out)
    return ffi.string(out)
  end

  local function flow_of(seen)
    local source, key = seen.source_end, seen.key
    return ("%s %s %d %s %d"):format(key.protocol == 6 and "tcp" or "udp", text_of(key.addr[source], key.family),
      key.port[source], text_of(key.addr[1 - source], key.family), key.port[1 - source])
  end

  -- flowgen's flows of one mix, without waiting for answers that rules forbid.
  local function send(options)
    local path = os.tmpname()
    here:send(options .. " --seconds 20 --list " .. path)
    local flows = flow_list.read(path)
    os.remove(path)
    return flows
  end

  local function burst(count, port, payload)
    payload = payload or "x"
    sockets.inside(here.cell, function()
      local fd = C.socket(2, 2, 0)
      local to = ffi.new("uint8_t[16]", { 2, 0, math.floor(port / 256), port % 256, 10, 77, 0, 1 })
      for _ = 1, count do C.sendto(fd, payload, #payload, 0, to, 16) end
      C.close(fd)
    end)
  end

  it("says of each packet who, where to, by which rule and with what verdict, in both families", function()
    here:nft(RULES)
    local socket = assert(nflog_socket.open(here.cell, 100))
    here:serve()
    local expected = send("--mix tcp4,tcp6 --flows 20 --packets 2")
    local path = os.tmpname() -- a drop in output is an error for the sender
    lab.run(("ip netns exec %s build/flowgen --to4 %s --to6 %s --mix udp4,udp6 --flows 1 --seconds 2 --list %s"):format(
      here.cell, lab.peer4, lab.peer6, path))
    os.remove(path)
    burst(5, 9003)

    local packets, bytes, found = { [6] = 0, [17] = 0 }, { [6] = 0, [17] = 0 }, {}
    local index = sockets.inside(here.cell, function() return sockets.index("eth0") end)
    for _, seen in ipairs(socket:read_all()) do
      local protocol = seen.key.protocol
      assert.equal(C.CF_STAT_PARSED, seen.parse)
      assert.same({ C.CF_HOOK_NF_OUTPUT, C.CF_DIRECTION_EGRESS, index, 7 },
        { seen.hook, seen.direction, seen.ifindex, seen.key.cell })
      assert.equal(protocol == 6 and "cellflow:allow:web" or "cellflow:deny:dns", ffi.string(seen.prefix))
      assert.equal(protocol == 6 and C.CF_VERDICT_ACCEPT or C.CF_VERDICT_DROP, seen.verdict)
      packets[protocol] = packets[protocol] + tonumber(seen.load.packets)
      bytes[protocol] = bytes[protocol] + tonumber(seen.load.bytes)
      if protocol == 6 then found[flow_of(seen)] = true end
    end
    for flow in pairs(expected) do assert.is_true(found[flow], "no packet of " .. flow) end
    for flow in pairs(found) do assert.is_truthy(expected[flow], "a packet of what nobody sent: " .. flow) end
    local counters = here:counters()
    assert.is_true(packets[17] >= 5)
    assert.same({ counters.allowed.packets, counters.allowed.bytes }, { packets[6], bytes[6] })
    assert.same({ counters.denied.packets, counters.denied.bytes }, { packets[17], bytes[17] })
    local numbers = socket:numbers()
    assert.same({ 0, 0, 0, 0 }, { numbers.lost, numbers.overruns, numbers.refused, numbers.unparsed })
  end)

  it("says less of segmentation offload than tc does: one buffer is one packet, its bytes are all", function()
    here:nft("table inet cell {\n counter bulk {}\n chain o { type filter hook output priority 0;\n" ..
      " tcp dport 9100 counter name bulk log group 100\n }\n}")
    local socket = assert(nflog_socket.open(here.cell, 100))
    local pair = sockets.tcp_pair(here, 4, 40100)
    pair:transfer(2 * 1024 * 1024)
    local packets, bytes, largest = 0, 0, 0
    for _, seen in ipairs(socket:read_all()) do
      assert.equal(C.CF_STAT_PARSED, seen.parse)
      packets, bytes = packets + 1, bytes + tonumber(seen.load.bytes)
      largest = math.max(largest, tonumber(seen.load.bytes))
    end
    local counter = here:counters().bulk
    assert.same({ counter.packets, counter.bytes }, { packets, bytes })
    assert.is_true(largest > 1500, "no buffer was larger than a packet")
  end)

  it("sees what hooks of a device and of ARP see", function()
    here:nft([[
table netdev link {
  chain out { type filter hook egress device "eth0" priority 0; icmp type echo-request log prefix "out" group 100; }
  chain back { type filter hook ingress device "eth0" priority 0; icmp type echo-reply log prefix "back" group 100; }
}
table arp neighbours { chain out { type filter hook output priority 0; log prefix "arp" group 100; }; }]])
    local socket = assert(nflog_socket.open(here.cell, 100))
    here:exec("cell", "ping -q -c 1 -W 2 " .. lab.peer4)
    local seen = {}
    for _, one in ipairs(socket:read_all()) do seen[ffi.string(one.prefix)] = one end
    assert.same({ C.CF_STAT_PARSED, C.CF_HOOK_NF_EGRESS, C.CF_DIRECTION_EGRESS, 8, 84 }, { seen.out.parse,
      seen.out.hook, seen.out.direction, seen.out.facts.icmp_type, tonumber(seen.out.load.bytes) })
    assert.same({ C.CF_STAT_PARSED, C.CF_HOOK_NF_INGRESS, C.CF_DIRECTION_INGRESS, 0, 84 }, { seen.back.parse,
      seen.back.hook, seen.back.direction, seen.back.facts.icmp_type, tonumber(seen.back.load.bytes) })
  end)

  it("loses packets when nobody reads, survives it, and knows exactly how many", function()
    here:nft(RULES)
    local socket = assert(nflog_socket.open(here.cell, 100))
    socket:receive_buffer(1) -- the kernel's least
    for round = 1, 3 do
      burst(3000, 9000)
      system.sleep(0.05)
      local got = socket:read()
      assert.is_true(got > 0 and got < 3000)
      if round == 2 then burst(10, 9001) end
    end
    socket:receive_buffer(1048576)
    socket:read_all()
    burst(1, 9002) -- its number shows what was lost before it
    socket:read_all()
    local numbers, sent = socket:numbers(), here:counters().denied.packets
    assert.is_true(numbers.lost > 1000 and numbers.overruns > 0)
    assert.equal(sent, numbers.packets + numbers.lost)
    assert.equal(9011, sent)
    assert.same({ 0, 0 }, { numbers.refused, numbers.unparsed })
  end)

  it("does not call all well what was lost last, and knows how much with the next packet", function()
    here:nft(RULES)
    local socket = assert(nflog_socket.open(here.cell, 100))
    for round = 1, 2 do
      socket:receive_buffer(1)
      burst(3000, 9000)
      system.sleep(0.05)
      socket:read_all() -- the error, and what came before the loss
      local numbers = socket:numbers()
      assert.same({ 1, round }, { numbers.unsettled, numbers.overruns })
      assert.is_true(numbers.packets + numbers.lost < 3000 * round)
      socket:receive_buffer(1048576)
      burst(1, 9000)
      socket:read_all()
      numbers = socket:numbers()
      assert.equal(0, numbers.unsettled)
      assert.equal(3001 * round, numbers.packets + numbers.lost)
    end
  end)

  it("counts what was lost before anybody read", function()
    here:nft(RULES)
    local socket = assert(nflog_socket.open(here.cell, 100))
    socket:receive_buffer(1)
    burst(2000, 9000)
    ffi.C.recv(socket.fd, ffi.new("uint8_t[65536]"), 65536, 0x40) -- ENOBUFS
    while ffi.C.recv(socket.fd, ffi.new("uint8_t[65536]"), 65536, 0x40) > 0 do system.sleep(0.02) end
    burst(1, 9000)
    socket:read_all()
    local numbers = socket:numbers()
    assert.same({ 1, 2000 }, { numbers.packets, numbers.lost })
  end)

  it("reads in bounded bites", function()
    here:nft(RULES)
    local socket = assert(nflog_socket.open(here.cell, 100))
    burst(640, 9000) -- ten batches of the rule's 64
    system.sleep(0.05)
    local got = socket:read(100)
    assert.equal(128, got)
    assert.equal(640 - 128, (socket:read(10000)))
    assert.equal(0, (socket:read(10000)))
  end)

  it("takes the largest batches that the kernel makes", function()
    local prefix = ("p"):rep(127)
    here:nft('table inet cell {\n counter long {}\n chain o { type filter hook output priority 0;\n'
      .. ' udp dport 9000 counter name long log prefix "' .. prefix .. '" group 100 drop\n }\n}')
    local socket = assert(nflog_socket.open(here.cell, 100))
    burst(3000, 9000, ("x"):rep(1200))
    local all = socket:read_all()
    assert.equal(3000, #all)
    for _, seen in ipairs(all) do
      assert.same({ prefix, C.CF_STAT_PARSED, 1228 }, { ffi.string(seen.prefix), seen.parse,
        tonumber(seen.load.bytes) })
    end
    local numbers = socket:numbers()
    assert.same({ 3000, 0, 0 }, { numbers.packets, numbers.lost, numbers.refused })
  end)

  it("is refused for group 0, with the reason, and for what is no group", function()
    local socket, text, kind = nflog_socket.open(here.cell, 0)
    assert.is_nil(socket)
    assert.equal(USAGE, kind)
    assert.truthy(text:find("group 0 is refused", 1, true))
    socket, text, kind = nflog_socket.open(here.cell, 65536)
    assert.is_nil(socket)
    assert.same({ USAGE, "NFLOG group 65536: the highest is 65535" }, { kind, text })
    assert.is_truthy(nflog_socket.open(here.cell, 65535))
  end)

  it("is refused while somebody else has the group, who is named; and free again after that one's end", function()
    local first = assert(nflog_socket.open(here.cell, 100))
    local name, len = ffi.new("uint32_t[3]"), ffi.new("uint32_t[1]", 12)
    C.getsockname(first.fd, name, len)
    local second, text, kind = nflog_socket.open(here.cell, 100)
    assert.is_nil(second)
    assert.equal(ATTACH, kind)
    assert.truthy(text:find(("NFLOG group 100: taken in this namespace by netlink port %d "):format(name[1]), 1, true))
    assert.truthy(text:find("nflog_group", 1, true))
    assert.is_truthy(nflog_socket.open(here.cell, 101))
    assert.is_truthy(nflog_socket.open(here.peer, 100)) -- groups are a namespace's own
    first:close()
    assert.is_truthy(nflog_socket.open(here.cell, 100))
  end)

  it("needs CAP_NET_ADMIN to be opened", function()
    local output = lab.must(("ip netns exec %s setpriv --bounding-set=-net_admin --inh-caps=-net_admin luajit "
      .. "spec/support/nflog_unprivileged.lua open"):format(here.cell))
    assert.equal(("%d\tNFLOG group 100: binding needs CAP_NET_ADMIN in the cell's namespace: run as root\n")
      :format(tonumber(UNSUPPORTED)), output)
  end)

  it("needs no privilege to be read", function()
    here:nft(RULES)
    local socket = assert(nflog_socket.open(here.cell, 100))
    burst(3, 9000)
    system.sleep(0.05)
    ffi.C.fcntl(socket.fd, 2, ffi.cast("int", 0)) -- F_SETFD: the child is to have it
    local output = lab.must(("setpriv --bounding-set=-all --inh-caps=-all --reuid=65534 --regid=65534 --clear-groups "
      .. "luajit spec/support/nflog_unprivileged.lua %d"):format(socket.fd))
    assert.equal("3\t3\tcellflow:deny:dns\n", output)
  end)

  it("takes no packet from anybody but the kernel", function()
    local nflog = require("nflog_message")
    here:nft(RULES)
    local socket = assert(nflog_socket.open(here.cell, 100))
    local name, len = ffi.new("uint32_t[3]"), ffi.new("uint32_t[1]", 12)
    C.getsockname(socket.fd, name, len)
    local forged = nflog.log({ prefix = "cellflow:allow:all", seq = 1000, payload = packet.ipv4({ protocol = 17,
      payload = packet.udp({}) }) })
    sockets.inside(here.cell, function() -- as root of the cell can
      local fd = C.socket(16, 3, 12)
      local to = ffi.new("uint32_t[3]", 16, name[1], 0)
      for _ = 1, 3 do assert(C.sendto(fd, forged, #forged, 0, to, 12) == #forged) end
      C.close(fd)
    end)
    burst(2, 9000)
    assert.equal(2, #socket:read_all())
    local numbers = socket:numbers()
    assert.same({ 2, 0, 3 }, { numbers.packets, numbers.lost, numbers.refused })
  end)

  it("keeps its namespace, quietly, until it is closed", function()
    local ns = netns.make()
    local socket = assert(nflog_socket.open(ns.name, 100))
    local function link() return (netns.run("ip -n %s link show dev %s", ns.peer, ns.outside)) end
    netns.must("ip netns del %s", ns.name)
    system.sleep(0.3)
    assert.is_true(link())
    assert.equal(0, (socket:read()))
    socket:close()
    assert.is_true(netns.eventually(function() return not link() end))
  end)
end)
