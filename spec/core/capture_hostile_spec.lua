-- SPDX-License-Identifier: MIT
-- Captures that are broken, cut off, or none at all: a clear error or a part that says how much, and never a flow that
-- nobody sent.
local captures = require("capture_core")
local ffi = require("ffi")
local made = require("capture_bytes")
local packet = require("packet")
local parser_frames = require("parser_frames")
local seeded = require("seeded")

local C = ffi.C
local SMALL = { entries = 1000 } -- a table that is cheap to make a thousand times

describe("a hostile capture", function()
  local directory

  before_each(function()
    local pipe = io.popen("mktemp -d")
    directory = pipe:read("*l")
    pipe:close()
  end)
  after_each(function() os.execute("rm -r " .. directory) end)

  local function write(bytes)
    local path = directory .. "/a.pcap"
    local file = assert(io.open(path, "wb"))
    file:write(bytes)
    file:close()
    return path
  end

  local function read(bytes, o) return captures.read({ write(bytes) }, o) end

  local function traffic(count)
    local list = {}
    for i = 1, count do
      list[i] = { sec = 1700000000 + i, ns = i, bytes = packet.frame4(packet.UDP, packet.udp({ src = i })) }
    end
    return list
  end

  local function refused(path, text)
    local out, why, kind = captures.read({ path })
    assert.is_nil(out)
    assert.truthy(why:find(text, 1, true), why)
    assert.is_nil(why:find("\n", 1, true))
    assert.equal(C.CF_FAIL_RECORDING, kind)
  end

  it("is refused by name when it is none", function()
    os.execute(("cd %s && mkfifo fifo && mkdir dir && ln -s nowhere link"):format(directory))
    for name, text in pairs({ fifo = "is a FIFO, want a capture in a file", dir = "is a directory, want a capture",
      link = "No such file or directory", absent = "No such file or directory" }) do
      refused(directory .. "/" .. name, directory .. "/" .. name .. ": " .. text)
    end
    refused("/dev/zero", "is no regular file, want a capture")
    refused(write(""), "is empty")
    refused(write("a text\n"), "is no capture: neither pcap nor pcapng")
    refused(write("cellflow"), "is no capture: neither pcap nor pcapng")
    refused(write("\31\139\8\0"), "is compressed: unpack it with gunzip first")
    refused(write("\40\181\47\253"), "is compressed: unpack it with unzstd first")
  end)

  it("is refused with the link type that cannot be read, and those that can", function()
    refused(write(made.pcap({}, { link = 105 })),
      "link type 105 (IEEE802_11) cannot be read; can be: EN10MB (Ethernet), ")
    refused(write(made.pcap({}, { link = 60000 })), "link type 60000 (unknown) cannot be read")
    refused(write(made.pcapng({}, { interfaces = { { link = 127 } } })), "link type 127 (IEEE802_11_RADIO) cannot be")
  end)

  it("is refused when its header cannot be", function()
    local bytes = made.pcap(traffic(1))
    refused(write(bytes:sub(1, 10)), "truncated dump file")
    refused(write(bytes:sub(1, 4) .. "\9\0" .. bytes:sub(7)), "version")
    refused(write(made.pcapng({}, { interfaces = {} })), "Interface Description")
    local section = made.pcapng({})
    refused(write(section:sub(1, 4) .. "\255\255\255\127" .. section:sub(9)), ": ")
  end)

  it("is read up to the packet that says what cannot be", function()
    local lying = traffic(5)
    lying[4].captured = 0x7fffffff
    for _, make in ipairs({ made.pcap, made.pcapng }) do
      local out = read(make(lying))
      assert.truthy(out.error:find("a.pcap: cannot be read to its end: ", 1, true), out.error)
      assert.truthy(out.error:find("; readable before it: 3 packets", 1, true), out.error)
      assert.same({ 3, 6 }, { out.numbers.packets, #out.events })
      assert.not_equal(C.CF_FRAME_END, out.frames[#out.frames])
      assert.equal(C.CF_FRAME_MOMENT, out.frames[#out.frames])
    end
  end)

  it("is read up to an interface of another link type", function()
    local list = traffic(4)
    local two = { { link = made.ETHERNET }, { link = made.RAW } }
    local out = read(made.pcapng(list, { interfaces = two }))
    assert.truthy(out.error:find("an interface has a type 12 different from the type of the first interface", 1, true)
      or out.error:find("different from the type", 1, true), out.error)
    assert.same({ 0, C.CF_FRAME_MOMENT }, { #out.events, out.frames[#out.frames] })
    list[2].interface = 1
    local same = read(made.pcapng(list, { interfaces = { {}, {} } }))
    assert.same({ nil, 4 }, { same.error, same.numbers.parsed })
    list[2].interface = 9
    local none = read(made.pcapng(list))
    assert.truthy(none.error:find("; readable before it: 1 packet", 1, true), none.error)
  end)

  it("gives, cut off anywhere, the packets before that and no other", function()
    for _, make in ipairs({ made.pcap, made.pcapng }) do
      local bytes = make(traffic(12))
      local whole = read(bytes)
      for len = 1, #bytes - 1 do
        local out, why = read(bytes:sub(1, len), SMALL)
        if not out then
          assert.truthy(why:find("a.pcap: ", 1, true))
        else
          local n = out.numbers.packets
          assert.is_true(n < 12 and #out.events == 2 * n)
          for i = 1, n do assert.same(whole.events[i], out.events[i]) end
        end
      end
    end
  end)

  it("is survived with any byte changed", function()
    local r = seeded.new(5)
    local flows, list = {}, {}
    for i = 1, 40 do
      local ethertype, bytes = parser_frames.valid(r)
      list[i] = { sec = 1700000000 + i, bytes = packet.eth(ethertype, bytes) }
    end
    for _, make in ipairs({ made.pcap, made.pcapng }) do
      local bytes = make(list)
      for _ = 1, 1000 do
        local at = r:below(#bytes) + 1
        local out, why = read(bytes:sub(1, at - 1) .. string.char(r:below(256)) .. bytes:sub(at + 1),
          SMALL)
        assert.is_true(out ~= nil or why:find("a.pcap: ", 1, true) ~= nil)
        flows[out and #out.events or -1] = true
      end
    end
    assert.is_true(flows[-1] ~= nil)
  end)

  it("costs no more memory than a packet may, whatever its lengths say", function()
    local function peak()
      for line in io.lines("/proc/self/status") do
        local kb = line:match("^VmHWM:%s*(%d+)")
        if kb then return tonumber(kb) end
      end
    end
    read(made.pcap(traffic(3)))
    local before = peak()
    for _, captured in ipairs({ 0x7fffffff, 0x0fffffff, 0x00ffffff, 300000 }) do
      for _, snaplen in ipairs({ 0, 65535, 0x7fffffff }) do
        local lying = traffic(2)
        lying[2].captured = captured
        assert.is_not_nil(read(made.pcap(lying, { snaplen = snaplen })).error)
        assert.is_not_nil(read(made.pcapng(lying, { interfaces = { { snaplen = snaplen } } })).error)
      end
    end
    assert.is_true(peak() - before < 64 * 1024)
  end)

  it("of several is read with the others, and named", function()
    local good, bad = directory .. "/good.pcap", directory .. "/bad.pcap"
    os.rename(write(made.pcap(traffic(6))), good)
    os.rename(write(made.pcap(traffic(6)):sub(1, -5)), bad)
    local out = captures.read({ good, bad })
    assert.equal(11, out.numbers.packets)
    assert.truthy(out.error:find("bad.pcap: cannot be read to its end", 1, true))
    local none, why = captures.read({ good, directory .. "/absent" })
    assert.is_nil(none)
    assert.truthy(why:find("absent: No such file", 1, true))
    none, why = captures.read({})
    assert.is_nil(none)
    assert.truthy(why:find("0 captures: want 1 to 256", 1, true))
  end)
end)
