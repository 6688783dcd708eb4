-- SPDX-License-Identifier: MIT
-- Packets and bytes of a flow are what was on the wire, in both directions; the witness is the peer's nft, or the
-- sender's own TCP where one buffer is many packets.
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local flow_list = require("flow_list")
local flow_table = require("flow_table")
local identities = require("identities")
local sockets = require("sockets")
local witness = require("witness")

local HEADER = { udp4 = 28, udp6 = 48 }

describe("the flow table", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here
  before_each(function() here = lab.up() end)
  after_each(function()
    sockets.close_all()
    cellflow.stop_all()
    here:down()
  end)

  local function start()
    return cellflow.start({ args = { "--netns", here.cell, "--hooks", "both", "--summary-record" } }):ready()
  end

  local function offload(state)
    for _, side in ipairs({ "cell", "peer" }) do
      here:exec(side, ("ethtool -K eth0 tso %s gso %s tx-udp-segmentation %s gro off"):format(state, state, state))
    end
  end

  it("has of a thousand flows of a hundred packets what the peer counted", function()
    here:serve()
    offload("off")
    witness.start(here)
    local run, path = start(), os.tmpname()
    cellflow.kill(run:collector(), "STOP") -- else what ended is out of the table before we have looked
    local sent = here:send("--flows 1000 --packets 100 --payload 200 --list " .. path)
    local expected = flow_list.read(path)
    os.remove(path)
    local table_now, truth = flow_table.read(run.pid), witness.read(here)
    cellflow.kill(run:collector(), "CONT")
    local totals = { udp4 = { 0, 0 }, udp6 = { 0, 0 } }
    for flow in pairs(expected) do
      local ours = assert(table_now[flow], flow)
      assert.equal("egress", ours.origin)
      assert.same(truth[flow].egress, ours.egress)
      assert.same(truth[flow].ingress or { packets = 0, bytes = 0 }, ours.ingress)
      local total = totals[flow:sub(1, 3) .. (flow:find(":", 1, true) and "6" or "4")]
      if total then
        total[1], total[2] = total[1] + ours.egress.packets, total[2] + ours.egress.bytes
      end
    end
    for kind, total in pairs(totals) do
      assert.same({ sent[kind].packets, sent[kind].bytes + HEADER[kind] * sent[kind].packets }, total)
    end
    assert.equal(0, run:finish())
    local records = run:records()
    assert.equal(0, select(2, flow_list.match(records, expected)))
    assert.equal(0, identities.check(run:summary()).lost)
  end)

  -- A bulk transfer both ways in which nothing was sent twice, as a busy machine makes TCP do: its acknowledgements
  -- would have options of other lengths. Returns the connection, still open, and what its own TCP counted.
  local function transfer(family, out, back)
    for port = 40100, 40109 do
      local pair = sockets.tcp_pair(here, family, port)
      pair:transfer(out)
      pair:transfer(back, true)
      local info = pair:settled_info()
      if info.retransmitted == 0 then return pair, info end
      pair:close()
    end
    error("ten transfers in a row had something sent twice")
  end

  -- Header bytes without payload: network header, TCP header with timestamps; a SYN has 8 bytes more of options.
  for _, family in ipairs({ 4, 6 }) do
    local header = family == 4 and 52 or 72
    for _, state in ipairs({ "on", "off" }) do
      it(("counts large IPv%d sends with segmentation offload %s as the segments they are"):format(family, state),
        function()
          offload(state)
          local run = start()
          local pair, info = transfer(family, 3000000, 200000)
          local ours = assert(flow_table.read(run.pid)[pair.flow], pair.flow)
          assert.equal(info.segments_out, ours.egress.packets)
          assert.equal(info.segments_in, ours.ingress.packets)
          assert.equal(3000000 + info.segments_out * header + 8, ours.egress.bytes)
          assert.equal(200000 + info.segments_in * header + 8, ours.ingress.bytes)
          assert.is_true(info.segments_out > 3000000 / 1500)
          pair:close()
          assert.equal(0, run:finish())
          local kernel = identities.check(run:summary()).kernel
          if state == "on" then -- else the case says nothing: one buffer was indeed many segments
            assert.is_true(kernel.packets < (info.segments_out + info.segments_in) / 2)
          end
        end)
    end
  end

  it("counts a UDP send that the kernel cuts into segments as the packets they become", function()
    offload("on")
    local run = start()
    local flow = sockets.udp_segmented(here, 40321, 9000, 1000, 12500)
    local ours = assert(flow_table.read(run.pid)[flow], flow)
    assert.same({ packets = 13, bytes = 12500 + 13 * 28 }, ours.egress)
    assert.equal(0, run:finish())
    local records = flow_list.by_flow(run:records())
    assert.equal(13, records[flow].packet_count)
    assert.equal(12500 + 13 * 28, records[flow].byte_count)
  end)
end)
