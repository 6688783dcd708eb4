-- SPDX-License-Identifier: MIT
-- `cellflow info` and `cellflow replay` on captures, as a user runs them: what they say, their exit codes, and the same
-- bytes whatever the surroundings. What the events are is spec/core/capture_spec.lua's.
local dkjson = require("dkjson")
local made = require("capture_bytes")
local packet = require("packet")
local recordings = require("made_recording")
local verb = require("verb")

local CELL, SERVER = "10.77.0.2", "192.0.2.9"

-- A query and its answer each second, and each fourth time a frame that is no IP.
local function traffic(count)
  local list = {}
  for i = 0, count - 1 do
    local sec = 1795005000 + i
    local query = packet.udp({ src = 1000 + i, dst = 53, payload = "query" })
    local answer = packet.udp({ src = 53, dst = 1000 + i, payload = "the answer" })
    list[#list + 1] = { sec = sec, bytes = packet.frame4(packet.UDP, query, { src = CELL, dst = SERVER }) }
    list[#list + 1] = { sec = sec, ns = 5000000, bytes = packet.frame4(packet.UDP, answer,
      { src = SERVER, dst = CELL }) }
    if i % 4 == 0 then list[#list + 1] = { sec = sec, ns = 9000000, bytes = packet.eth(packet.ARP, ("\0"):rep(28)) } end
  end
  return list
end

describe("a capture", function()
  local place

  before_each(function()
    place = verb.open()
    os.execute("chmod 755 " .. place.path)
  end)
  after_each(function() place:close() end)

  local function lines(out)
    local list = {}
    for line in out:gmatch("([^\n]*)\n") do list[#list + 1] = assert(dkjson.decode(line), line) end
    return list
  end

  describe("by info", function()
    it("is told of to people and as JSON", function()
      place:write("a.pcap", made.pcap(traffic(8), { nano = true, snaplen = 65535 }))
      place:write("b.pcapng", made.pcapng(traffic(8)))
      local code, out, err = place:run("info a.pcap b.pcapng")
      assert.same({ 0, "" }, { code, err })
      for _, text in ipairs({ "a.pcap: capture, pcap, whole\n", "  link type       EN10MB (Ethernet)\n",
        "  snaplen         65535 bytes of a packet\n", "  stamps          nanoseconds\n",
        "  first           2026-11-18T12:30:00.000000000Z\n", "  last            2026-11-18T12:30:07.005000000Z\n",
        "  duration        7.005 s\n", "  packets         18, 876 bytes on the wire\n",
        "  of IP           16, not_ip 2\n", "  flows           8, with 568 bytes of the network layer\n",
        "\nb.pcapng: capture, pcapng, whole\n" }) do
        assert.truthy(("\n" .. out):find(text, 1, true), text .. " is not in\n" .. out)
      end
      code, out = place:run("info --json a.pcap b.pcapng")
      local a, b = unpack(lines(out))
      assert.same({ 0, "ended", "pcap", "EN10MB", 18, 16, 8, 9 }, { code, a.state, a.format, a.link_type, a.packets,
        a.parsed, a.flows, a.stamp_digits })
      assert.same({ not_ip = 2 }, a.unparsed)
      assert.same({ "ended", "pcapng", 18, a.first_time }, { b.state, b.format, b.packets, b.first_time })
    end)

    it("is told of as far as it can be read, with exit code 1", function()
      place:write("cut.pcap", made.pcap(traffic(8)):sub(1, -5))
      place:write("wifi.pcap", made.pcap({}, { link = 105 }))
      local code, out, err = place:run("info --json cut.pcap")
      local info = lines(out)[1]
      assert.same({ 1, "damaged", 17 }, { code, info.state, info.packets })
      assert.truthy(info.error:find("cut.pcap: cannot be read to its end: ", 1, true))
      assert.equal("cellflow: error: " .. info.error .. "\n", err)
      code, out = place:run("info cut.pcap")
      assert.equal(1, code)
      assert.truthy(out:find("cut.pcap: capture, pcap, DAMAGED: what follows is what could be read\n", 1, true))
      code, out, err = place:run("info --json wifi.pcap")
      assert.same({ 1, "unreadable" }, { code, lines(out)[1].state })
      assert.truthy(err:find("link type 105 (IEEE802_11) cannot be read", 1, true))
    end)

    it("is no terminal's command by its name", function()
      place:write("\27[31m.pcap", made.pcap(traffic(1)))
      local code, out = place:run("info *.pcap")
      assert.equal(0, code)
      assert.is_nil(out:find("\27", 1, true))
      assert.truthy(out:find("\\x1b[31m.pcap: capture", 1, true))
    end)
  end)

  describe("by replay", function()
    it("has records, cells and directions", function()
      place:write("a.pcap", made.pcap(traffic(3)))
      local code, out, err = place:run("replay --cell-net web=10.77.0.0/24 --events opened,closed a.pcap")
      assert.equal(0, code, err)
      local list = lines(out)
      assert.equal(6, #list)
      local r, e = list[1], list[6]
      assert.same({ "opened", "web", "egress", "udp", CELL, SERVER, 1000, 53, "replay", 33,
        "2026-11-18T12:30:00.000000000Z" }, { r.kind, r.cell_id, r.direction, r.protocol, r.src_addr, r.dst_addr,
        r.src_port, r.dst_port, r.source, r.byte_count, r.observed_at })
      assert.same({ "closed", "shutdown", 1, 33, 1, 38, 5 }, { e.kind, e.close_reason, e.packet_count, e.byte_count,
        e.reply_packet_count, e.reply_byte_count, e.duration_ms })
      local packets = "packets   7 in captures = 6 of IP + 1 not_ip; 0 of no cell, 0 between two\n"
      assert.truthy(err:find(packets, 1, true), err)
      local _, other = place:run("replay --cell-net 192.0.2.9 --cell-name dns a.pcap")
      list = lines(other)
      assert.same({ 3, "dns", "ingress" }, { #list, list[1].cell_id, list[1].direction })
      local _, plain = place:run("replay a.pcap")
      assert.same({ "a.pcap", "egress" }, { lines(plain)[1].cell_id, lines(plain)[1].direction })
    end)

    it("runs timers and timeouts in the packets' time", function()
      place:write("a.pcap", made.pcap(traffic(31)))
      place:write("p.lua", [[
flows { udp_idle = 5 }
local seen = counter("seen")
on("start", function() emit { type = "start" } end)
on("stop", function() emit { type = "stop", seen = seen:get() } end)
on("closed", function(ev) if ev.close_reason == "idle" then seen:add(1) end end)
every(10, function(now) emit { type = "tick", seen = seen:get() } end)
function format() return nil end
]])
      local code, out, err = place:run("replay -c p.lua --events closed a.pcap")
      assert.equal(0, code, err)
      local list = lines(out)
      assert.equal("start", list[1].type)
      local ticks, last = {}, nil
      for _, line in ipairs(list) do
        if line.type == "tick" then ticks[#ticks + 1] = line.seen end
        last = line
      end
      assert.same({ "stop", 25 }, { last.type, last.seen })
      assert.is_true(#ticks == 2 or #ticks == 3)
      assert.is_true(ticks[1] >= 3 and ticks[1] <= 5 and ticks[2] == ticks[1] + 10)
    end)

    it("says the same wherever and by whomever it is run, without network or privileges", function()
      place:write("a.pcap", made.pcap(traffic(20)))
      place:write("b.pcapng", made.pcapng(traffic(20)))
      os.execute(("chmod 644 %s/*"):format(place.path))
      local words = "replay --cell-net one=10.77.0.2 --events opened,closed a.pcap b.pcapng"
      local code, out = place:run(words)
      assert.same({ 0, 40 }, { code, #lines(out) })
      local _, again = place:run("replay --cell-net one=10.77.0.2 --events opened,closed b.pcapng a.pcap")
      assert.equal(out, again)
      local pipe = io.popen(("cd %s && TZ=Asia/Tokyo LC_ALL=C unshare --net setpriv --reuid 65534 --regid 65534 "
        .. "--clear-groups %s %s 2>/dev/null"):format(place.path, place.program, words))
      again = pipe:read("*a")
      pipe:close()
      assert.equal(out, again)
    end)

    it("decides what is readable of a damaged one, with exit code 1", function()
      place:write("cut.pcap", made.pcap(traffic(8)):sub(1, -5))
      local code, out, err = place:run("replay cut.pcap")
      assert.same({ 1, 8 }, { code, #lines(out) })
      assert.truthy(err:find("cut.pcap: cannot be read to its end: ", 1, true))
    end)

    it("refuses what does not fit", function()
      place:write("a.pcap", made.pcap(traffic(1)))
      place:write("a.rec", recordings.bytes(10))
      place:write("raw.pcap", made.pcap({}, { link = made.RAW }))
      for words, why in pairs({
        ["a.pcap a.rec"] = "captures and other files do not go together",
        ["--cell-net 10.0.0.0/8 a.rec"] = "--cell-net, --cell-mac, --cell-name and --events are for captures",
        ["--cell-net 10.0.0.0/99 a.pcap"] = '--cell-net: "10.0.0.0/99": want [NAME=]ADDRESS[/BITS]',
        ["--events closd a.pcap"] = "closed",
        ["--cell-mac 02:00:00:00:00:01 raw.pcap"] = "have no MAC addresses",
      }) do
        local code, out, err = place:run("replay " .. words)
        assert.same({ 2, "" }, { code, out }, err)
        assert.truthy(err:find(why, 1, true), err)
      end
    end)
  end)
end)
