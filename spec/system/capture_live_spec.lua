-- SPDX-License-Identifier: MIT
-- The same traffic twice: watched by a live run, and captured by tcpdump on the same interface. Both tell of the same
-- flows, with the same packets, bytes and ends.
local lab = require("spec.support.lab")
local captures = require("capture_core")
local cellflow = require("cellflow")
local flow_list = require("flow_list")
local tcpdump = require("tcpdump")
local tshark = require("tshark")

describe("a capture of what a live run watched", function()
  local lacking = lab.lacking() or tshark.lacking()
  if lacking then return pending(lacking) end

  local here, path

  before_each(function()
    here = lab.up()
    here:serve()
    path = os.tmpname()
  end)
  after_each(function()
    cellflow.stop_all()
    here:down()
    os.remove(path)
  end)

  local function send()
    here:send("--flows 400 --packets 3 --rate 800")
    here:send("--flows 20 --packets 30 --payload 1000 --mix tcp4,tcp6 --seed 2")
    for _, to in ipairs({ lab.peer4, lab.peer6 }) do
      here:exec("cell", "ping -q -c 3 -i 0.05 -s 3000 " .. to)
      here:exec("cell", ("bash -c ': >/dev/tcp/%s/7' 2>/dev/null || true"):format(to)) -- refused by RST
    end
    for _, to in ipairs({ lab.cell4, lab.cell6 }) do here:exec("peer", "ping -q -c 2 -i 0.05 " .. to) end
  end

  -- Neighbour discovery and its like come at moments of their own.
  local function is_housekeeping(flow, icmp_type)
    return flow:find("^icmpv6") and (icmp_type or 0) >= 130 or flow:find("ff02::", 1, true)
  end

  -- How a flow that did not end by itself was closed says only when somebody stopped looking.
  local function reason(text)
    return (text == "fin" or text == "rst") and text or "open"
  end

  local function add(flows, key, facts)
    assert(not flows[key], "twice: " .. key)
    flows[key] = facts
  end

  local function of_records(records)
    local flows = {}
    for _, r in ipairs(records) do
      local flow = flow_list.of(r)
      if not is_housekeeping(flow, r.icmp_type) then
        add(flows, ("%s %s%s"):format(r.kind, flow, r.fragment and " fragment" or ""), { r.direction, r.packet_count,
          r.byte_count, r.reply_packet_count or 0, r.reply_byte_count or 0, r.tcp_flags or "",
          r.kind == "closed" and reason(r.close_reason) or "" })
      end
    end
    return flows
  end

  local function flags_text(bits)
    local text = ""
    for i, letter in ipairs({ "F", "S", "R", "P", "A", "U", "E", "C" }) do
      if math.floor(bits / 2 ^ (i - 1)) % 2 == 1 then text = text .. letter end
    end
    return text
  end

  local function of_events(events)
    local flows = {}
    for _, e in ipairs(events) do
      if not is_housekeeping(e.flow, e.icmp_type) then
        add(flows, ("%s %s%s"):format(e.kind, e.flow, e.flags % 64 >= 32 and " fragment" or ""), { e.direction,
          e.packets, e.bytes, e.reply_packets, e.reply_bytes, flags_text(e.tcp_flags),
          e.kind == "closed" and reason(e.close_reason) or "" })
      end
    end
    return flows
  end

  it("tells of the same flows", function()
    for _, side in ipairs({ "cell", "peer" }) do
      here:exec(side, "ethtool -K eth0 tso off gso off gro off >/dev/null")
    end
    local mac = here:exec("cell", "cat /sys/class/net/eth0/address"):match("[%x:]+")
    local run = cellflow.start({ args = { "--netns", here.cell, "--interface", "eth0", "--hooks", "both",
      "--events", "opened,closed" } }):ready()
    local capture = tcpdump.start(here, path)
    send()
    tcpdump.stop(here, capture)
    assert.equal(0, run:finish(20))
    local out = assert(captures.read({ path }, { macs = { mac } }))
    assert.same({ nil, 0, {} }, { out.error, out.numbers.foreign, out.numbers.unparsed })
    local live, replayed = of_records(run:records()), of_events(out.events)
    assert.same(live, replayed)
    local replay = cellflow.start({ verb = "replay", args = { "--cell-mac", mac, "--events", "opened,closed", path } })
    assert.equal(0, replay:wait(20))
    assert.same(live, of_records(replay:records()))
    local count, ends = 0, {}
    for _, facts in pairs(live) do
      count = count + 1
      ends[facts[7]] = (ends[facts[7]] or 0) + 1
    end
    assert.equal(2 * (400 + 20 + 6 + 2 + 1), count) -- flowgen, pings and their fragments, refusals, the marker
    assert.same({ 2, 220 }, { ends.rst, ends.fin })
  end)
end)
