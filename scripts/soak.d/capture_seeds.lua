-- SPDX-License-Identifier: MIT
-- scripts/soak.d/capture_seeds.lua DIR: inputs for the fuzz target of captures, in DIR/capture: the first byte is what
-- the target chooses by (spec/fuzz/capture.c), then a small capture of each format, byte order and link type.
package.path = "./?.lua;" .. package.path
require("spec.helper")
local made = require("capture_bytes")
local frames = require("parser_frames")
local packet = require("packet")
local seeded = require("seeded")

local directory = assert(arg[1], "usage: luajit scripts/soak.d/capture_seeds.lua DIR") .. "/capture"
local LINKS = { made.ETHERNET, made.SLL, made.SLL2, made.RAW, made.NULL, made.LOOP }
local r = seeded.new(1)
local written = 0

local function write(...)
  written = written + 1
  local handle = assert(io.open(("%s/seed-%d"):format(directory, written), "wb"))
  assert(handle:write(...))
  handle:close()
end

local function ip()
  local ethertype, bytes
  repeat ethertype, bytes = frames.valid(r) until ethertype == packet.IPV4 or ethertype == packet.IPV6
  return bytes
end

local function tcp(flags)
  return packet.ipv4({ protocol = packet.TCP, src = "10.0.0.1", payload = packet.tcp({ flags = flags }) })
end

local function traffic(link)
  local list, sec = {}, 1700000000
  for _, flags in ipairs({ 2, 16, 17, 4 }) do
    list[#list + 1] = { sec = sec, bytes = made.link(link, tcp(flags)) }
    sec = sec + r:below(3)
  end
  for _ = 1, 6 do
    sec = sec + r:below(40)
    local bytes = made.link(link, ip(), { way = r:below(5) })
    list[#list + 1] = { sec = sec, ns = r:below(1000000000), bytes = bytes:sub(1, r:below(#bytes) + 20), len = #bytes }
  end
  return list
end

assert(os.execute(("mkdir -p '%s'"):format(directory)) == 0)
for i, link in ipairs(LINKS) do
  for choice = 0, 7 do
    local big, nano = (i + choice) % 2 == 0, choice % 3 == 0
    write(string.char(choice), made.pcap(traffic(link), { link = link, big = big, nano = nano }))
    write(string.char(choice), made.pcapng(traffic(link), { interfaces = { { link = link } }, big = big }))
  end
end
