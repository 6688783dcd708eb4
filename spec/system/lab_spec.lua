-- SPDX-License-Identifier: MIT
--
-- The lab and flowgen, which other specs take for granted: a lab leaves nothing behind, and what flowgen says it
-- sent is what the kernel counted.
local lab = require("spec.support.lab")

local function host_state()
  return lab.must("ip netns list | sort; ip -o link show; ls /run/cellflow-lab 2>/dev/null || true")
end

describe("scripts/lab", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local name
  before_each(function() name = lab.name() end)
  after_each(function()
    lab.run("scripts/lab down --name " .. name)
    lab.run("ip netns del " .. name .. "-cell")
  end)

  local function script(verb) return lab.run(("scripts/lab %s --name %s"):format(verb, name)) end

  it("says in two lines what it made and what to type next", function()
    local text, code = script("up")
    assert.equal(0, code)
    assert.matches("^lab up: " .. name:gsub("%-", "%%-") .. "%-cell [^\n]+\nnext: [^\n]+\n?$", text)
  end)

  it("is gone after down, with nothing left in the host", function()
    local links = lab.must("ip -o link show")
    assert.equal(0, select(2, script("up")))
    assert.equal(links, lab.must("ip -o link show"))
    assert.equal(0, select(2, script("down")))
    local state = host_state()
    assert.is_nil(state:find(name, 1, true))
    assert.equal(links, lab.must("ip -o link show"))
  end)

  it("may be taken up twice and down twice", function()
    assert.equal(0, select(2, script("up")))
    local text, code = script("up")
    assert.equal(0, code)
    assert.matches("^lab already up", text)
    assert.equal(0, select(2, script("status")))
    assert.equal(0, select(2, script("down")))
    assert.equal(0, select(2, script("down")))
    assert.equal(1, select(2, script("status")))
  end)

  it("has IPv4 and IPv6 from the moment up returns, both ways", function()
    script("up")
    local ways = { { "cell", lab.peer4 }, { "cell", lab.peer6 }, { "peer", lab.cell4 }, { "peer", lab.cell6 } }
    for _, way in ipairs(ways) do
      lab.must(("ip netns exec %s-%s ping -n -c 1 -W 1 %s"):format(name, way[1], way[2]))
      assert.equal("", (lab.run(("ip -n %s-%s -6 addr show tentative"):format(name, way[1]))))
    end
  end)

  it("leaves a namespace alone that it did not make", function()
    lab.must("ip netns add " .. name .. "-cell")
    local text, code = script("up")
    assert.equal(1, code)
    assert.matches("was not made by scripts/lab", text)
    assert.equal(1, select(2, script("down")))
    assert.matches(name .. "-cell", lab.must("ip netns list"), 1, true)
  end)

  it("mends what an interrupted up left", function()
    script("up")
    lab.must("ip netns del " .. name .. "-peer; ip -n " .. name .. "-cell link del eth0 || true")
    assert.equal(1, select(2, script("status")))
    assert.equal(0, select(2, script("up")))
    assert.equal(0, select(2, script("status")))
  end)

  it("refuses a name that could be an option or a path", function()
    for _, bad in ipairs({ "-x", "../x", "a/b", "''" }) do
      local text, code = lab.run("scripts/lab up --name " .. bad)
      assert.equal(2, code)
      assert.matches("letters, digits", text)
    end
  end)
end)

local counters = [[
table inet witness {
  counter udp4 {}
  counter udp6 {}
  counter tcp4 {}
  counter tcp6 {}
  counter tcp4_data {}
  counter tcp6_data {}
  counter odd {}
  chain output {
    type filter hook output priority 0;
    ip protocol udp counter name udp4
    meta nfproto ipv6 meta l4proto udp counter name udp6
    ip protocol tcp tcp flags & (syn|ack) == syn counter name tcp4
    meta nfproto ipv6 tcp flags & (syn|ack) == syn counter name tcp6
    ip protocol tcp ip length > 200 counter name tcp4_data
    meta nfproto ipv6 meta l4proto tcp ip6 length > 200 counter name tcp6_data
    tcp flags rst counter name odd
  }
  chain input {
    type filter hook input priority 0;
    tcp flags rst counter name odd
    icmp type destination-unreachable counter name odd
    icmpv6 type destination-unreachable counter name odd
  }
}]]

describe("flowgen", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here
  before_each(function()
    here = lab.up()
    here:nft(counters)
  end)
  after_each(function() here:down() end)

  it("says what the kernel counted, for each kind", function()
    here:serve()
    local sent = here:send("--flows 403 --packets 15 --payload 300")
    local counted = here:counters()
    assert.equal(403, sent.flows)
    for kind, header in pairs({ udp4 = 20 + 8, udp6 = 40 + 8 }) do
      assert.equal(15 * sent[kind].flows, sent[kind].packets)
      assert.equal(sent[kind].packets, counted[kind].packets)
      assert.equal(sent[kind].bytes + sent[kind].packets * header, counted[kind].bytes)
    end
    for _, kind in ipairs({ "tcp4", "tcp6" }) do
      assert.equal(sent[kind].flows, counted[kind].packets)
      assert.equal(sent[kind].packets, counted[kind .. "_data"].packets)
    end
    assert.equal(0, counted.odd.packets)
  end)

  it("spreads the flows evenly, each with a 5-tuple of its own", function()
    here:serve("--ports 3")
    local path = os.tmpname()
    local sent = here:send("--flows 401 --packets 2 --ports 3 --mix udp4,tcp6,udp6 --list " .. path)
    local seen, lines = {}, { udp4 = 0, udp6 = 0, tcp6 = 0 }
    for line in io.lines(path) do
      local protocol, tuple = line:match("^(%a+) (%S+ %d+ %S+ %d+) 2$")
      assert.is_nil(seen[protocol .. tuple])
      seen[protocol .. tuple] = true
      local kind = protocol .. (tuple:find(":", 1, true) and "6" or "4")
      lines[kind] = lines[kind] + 1
    end
    os.remove(path)
    assert.same({ udp4 = 134, tcp6 = 134, udp6 = 133 }, lines)
    for kind, count in pairs(lines) do assert.equal(count, sent[kind].flows) end
  end)

  it("makes the same list from the same seed, another from another", function()
    here:serve()
    local lists = {}
    for i, seed in ipairs({ 5, 5, 6 }) do
      local path = os.tmpname()
      here:send(("--flows 40 --mix udp4 --seed %d --list %s"):format(seed, path))
      lists[i] = lab.read_file(path)
      os.remove(path)
    end
    assert.equal(lists[1], lists[2])
    assert.not_equal(lists[1], lists[3])
  end)

  it("gets every TCP byte to its sink", function()
    local sink = here:serve()
    local sent = here:send("--flows 50 --packets 30 --payload 700 --mix tcp4,tcp6")
    local text = here:stop(sink)
    assert.matches(('"connections":%d,"bytes":%d'):format(50, sent.tcp4.bytes + sent.tcp6.bytes), text, 1, true)
  end)

  it("fails, and counts nothing, when nobody listens", function()
    local text, code = lab.run(("ip netns exec %s build/flowgen --mix tcp4 --to4 %s"):format(here.cell, lab.peer4))
    assert.equal(1, code)
    assert.matches("is the sink there?", text, 1, true)
    assert.matches('"flows":0', text, 1, true)
  end)
end)
