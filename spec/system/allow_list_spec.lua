-- SPDX-License-Identifier: MIT
-- `cellflow suggest` as a user runs it: the list that it makes allows all that was seen and nothing else, says why, and
-- is one that nft takes.
local ffi = require("ffi")
local bit = require("bit")
local capture_bytes = require("capture_bytes")
local descriptors = require("descriptors")
local dkjson = require("dkjson")
local helper = require("spec.helper")
local made = require("made_recording")
local packet = require("packet")
local recordings = require("replay_recording")
local seeded = require("seeded")
local verb = require("verb")

local core = helper.core

describe("suggest", function()
  local place

  before_each(function() place = verb.open() end)
  after_each(function() place:close() end)

  local function suggest(words)
    local code, out, err = place:run("suggest " .. words)
    assert.equal(0, code, err)
    return out
  end

  -- Events in which everything is random, of two cells.
  local function write_any(path, events, seed)
    io.open(path, "w"):close()
    local fd = descriptors.open(path, bit.bor(descriptors.O_WRONLY, descriptors.O_TRUNC))
    local recording, context = made.writer(fd)
    local room, size = made.room()
    local err, batch, r = ffi.new("struct cf_error"), ffi.new("struct cf_batch"), seeded.new(seed)
    local function add(memory, len)
      assert(len > 0 and core.cf_recording_add(recording, memory, len, err) == 0, ffi.string(err.text))
    end
    local kept = made.begin(add, 2)
    for at = 1, events, 100 do
      batch.count = 100
      for i = 0, 99 do
        made.any_event(r, batch.events[i])
        batch.events[i].cell = r:below(2)
      end
      add(room, core.cf_frame_put_batch(room, size, 6000000000000ULL + at, batch))
    end
    assert(core.cf_recording_end(recording, 7000000000000ULL, 0, err) == 0 and kept and context)
    core.cf_recording_free(recording)
    descriptors.close(fd)
  end

  -- How the records of a replay with the list were decided: number, and those that contradict what was seen.
  local function replay(policy, recording)
    local code, out, err = place:run(("replay -q -c %s %s"):format(policy, recording))
    assert.equal(0, code, err)
    local count, wrong = 0, {}
    for line in out:gmatch("([^\n]*)\n") do
      local record = dkjson.decode(line)
      count = count + 1
      local expected = record.verdict == "drop" and "deny" or "allow"
      if record.decision ~= expected or record.error_at then wrong[#wrong + 1] = line end
    end
    return count, wrong
  end

  for _, words in ipairs({ "", "--cidr 24,64", "--ports", "--cidr 13,1 --ports", "--cidr 0,0" }) do
    it("allows all that was seen, but for what was dropped: " .. (words == "" and "as it was" or words), function()
      place:write("a.rec", made.bytes(4000, { seed = 12 }))
      place:write("list.lua", suggest(words .. " a.rec"))
      assert.same({ 4000, {} }, { replay("list.lua", "a.rec") })
      write_any(place.path .. "/b.rec", 2000, 77)
      place:write("list.lua", suggest(words .. " b.rec"))
      assert.same({ 2000, {} }, { replay("list.lua", "b.rec") })
    end)
  end

  it("denies what was not seen", function()
    local it = recordings.new(place.path .. "/a.rec")
    it:batch(0.1, { { dst_port = 443 }, { dst_port = 443, cell = 1, host = 7 } })
    it:close(1)
    it = recordings.new(place.path .. "/b.rec")
    it:batch(0.1, { { dst_port = 443 }, { dst_port = 22 }, { dst_port = 443, host = 2 }, { dst_port = 22, host = 9 } })
    it:close(1)
    local function denied(words)
      place:write("list.lua", suggest(words .. " a.rec"))
      local _, out = place:run("replay -q -c list.lua b.rec")
      local list = {}
      for line in out:gmatch("([^\n]*)\n") do
        local record = dkjson.decode(line)
        if record.decision == "deny" then
          assert.equal("not_declared", record.reason_code)
          list[#list + 1] = record.dst_addr .. " " .. record.dst_port
        end
      end
      return list
    end
    assert.same({ "10.0.0.1 22", "10.0.0.2 443", "10.0.0.9 22" }, denied(""))
    assert.same({ "10.0.0.1 22", "10.0.0.9 22" }, denied("--cidr 30"))
    assert.same({ "10.0.0.2 443", "10.0.0.9 22" }, denied("--ports"))
    assert.same({ "10.0.0.9 22" }, denied("--ports --cidr 29"))
  end)

  it("says why, and lets no name end its comment", function()
    local it = recordings.new(place.path .. "/a.rec", { cells = { "web", "d\nb" } })
    it:batch(0.1, { { dst_port = 22 }, { dst_port = 443, at = 5 }, { dst_port = 443, cell = 1, at = 65 } })
    it:close(100)
    local out = suggest("a.rec")
    assert.truthy(out:find([[

-- 2 flows, 2026-11-18T12:30:05Z to 2026-11-18T12:31:05Z, in web, d\nb
allow "tcp 10.0.0.1:443" { direction = "egress", protocol = "tcp", dst_addr = "10.0.0.1", dst_port = 443 }

-- 1 flow, 2026-11-18T12:30:00Z to 2026-11-18T12:30:00Z, in web
allow "tcp 10.0.0.1:22" { direction = "egress", protocol = "tcp", dst_addr = "10.0.0.1", dst_port = 22 }

default { decision = "deny", reason = "not_declared" }
]], 1, true), out)
    assert.truthy(suggest("-o nft a.rec"):find(
      "in web, d\\nb\n\t\tip daddr 10.0.0.1 tcp dport 443 accept\n", 1, true))
  end)

  -- Independent sums over the records of a replay with the default mapping.
  it("counts flows and bytes as the records do", function()
    place:write("a.rec", made.bytes(5000, { seed = 3 }))
    local _, out = place:run("replay -q a.rec")
    local flows, bytes = {}, {}
    for line in out:gmatch("([^\n]*)\n") do
      local r = dkjson.decode(line)
      local key = (r.family == "ipv6" and "%s [%s]:%d" or "%s %s:%d"):format(r.protocol, r.dst_addr, r.dst_port)
      if r.verdict ~= "drop" then
        flows[key] = (flows[key] or 0) + (r.kind == "opened" and 1 or 0)
        bytes[key] = (bytes[key] or 0) + (r.kind == "closed" and r.byte_count + r.reply_byte_count or 0)
      end
    end
    local found_flows, found_bytes = {}, {}
    for count, more, name in suggest("a.rec"):gmatch("%-%- (%d+) flows?, ([^\n]*)\nallow \"([^\"]+)\"") do
      found_flows[name], found_bytes[name] = tonumber(count), tonumber(more:match("^(%d+) bytes") or 0)
    end
    assert.same({ flows, bytes }, { found_flows, found_bytes })
  end)

  it("is the same ruleset each time, and one that nft takes", function()
    write_any(place.path .. "/b.rec", 1000, 5)
    for _, words in ipairs({ "", "--cidr 24,64", "--ports" }) do
      local out = suggest(words .. " -o nft b.rec")
      assert.equal(out, suggest(words .. " -o nft b.rec"))
      place:write("list.nft", out)
      assert.equal(0, os.execute(("unshare -n nft -c -f %s/list.nft"):format(place.path)))
    end
  end)

  it("reads captures", function()
    place:write("a.pcap", capture_bytes.pcap({ { sec = 1795005000, bytes = packet.frame4(packet.UDP,
      packet.udp({ src = 1000, dst = 53, payload = "query" }), { src = "10.77.0.2", dst = "192.0.2.9" }) } }))
    local out = suggest("--cell-net web=10.77.0.2 a.pcap")
    local seen = "-- 1 flow, 33 bytes in those that ended, 2026-11-18T12:30:00Z to 2026-11-18T12:30:00Z, in web\n" ..
      'allow "udp 192.0.2.9:53"'
    assert.truthy(out:find(seen, 1, true), out)
    assert.truthy(suggest("--cell-mac web=02:00:00:00:00:01 a.pcap"):find(seen, 1, true))
    assert.truthy(suggest("--cell-net 10.77.0.2 --cell-name web a.pcap"):find(seen, 1, true))
    assert.falsy(suggest("--cell-net web=10.77.0.2 --events opened a.pcap"):find("bytes in those", 1, true))
    assert.truthy(suggest("--cell-net web=192.0.2.9 a.pcap"):find('allow "ingress"', 1, true))
  end)

  it("tells what is wrong", function()
    local function fails(expected, words, text)
      local code, out, err = place:run("suggest " .. words)
      assert.same({ expected, 0 }, { code, #out }, err)
      assert.truthy(err:find(text, 1, true), err)
    end
    place:write("a.rec", made.bytes(4000, { flush = 2 }))
    fails(2, "", "want at least one recording")
    for _, cidr in ipairs({ "33", "24,129", "24,", "x", "24x", "-1", "24,64,1" }) do
      fails(2, "--cidr " .. cidr .. " a.rec", "--cidr: want the bits")
    end
    fails(2, "-o xml a.rec", '"xml"')
    fails(1, "none.rec", "none.rec")
    local whole = made.bytes(4000, { flush = 2 })
    place:write("a.rec", whole:sub(1, math.floor(#whole / 2)))
    local code, out, err = place:run("suggest a.rec")
    assert.equal(1, code)
    assert.truthy(out:find("default { decision", 1, true))
    assert.truthy(err:find("a.rec", 1, true))
    write_any(place.path .. "/b.rec", 110000, 6)
    fails(2, "b.rec", "more than 32700 destinations")
    assert.truthy(suggest("--cidr 8,8 --ports b.rec"):find("allow", 1, true))
  end)
end)
