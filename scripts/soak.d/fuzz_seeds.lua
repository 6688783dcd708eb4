-- SPDX-License-Identifier: MIT
-- scripts/soak.d/fuzz_seeds.lua DIR: a few inputs for each fuzz target, in DIR/TARGET, so that a run begins with bytes
-- that mean something. They come from the specs' own makers of packets and messages.
package.path = "./?.lua;" .. package.path
require("spec.helper")
local bit = require("bit")
local frames = require("parser_frames")
local nflog = require("nflog_message")
local packet = require("packet")
local seeded = require("seeded")

local directory = assert(arg[1], "usage: luajit scripts/soak.d/fuzz_seeds.lua DIR")
local COUNT = 60
local r = seeded.new(1)
local written = 0

local function write(target, bytes)
  written = written + 1
  local file = assert(io.open(("%s/%s/seed-%d"):format(directory, target, written), "wb"))
  assert(file:write(bytes))
  file:close()
end

for _, target in ipairs({ "packet", "nflog" }) do
  assert(os.execute(("mkdir -p '%s/%s'"):format(directory, target)) == 0)
end
for i = 1, COUNT do
  local ethertype, bytes = frames.valid(r)
  local six = ethertype == packet.IPV6
  write("packet", string.char(bit.bor(six and 2 or 0, i % 2 * 8)) .. "\1" .. bytes)
  write("packet", "\25\1" .. packet.eth(ethertype, bytes))
  local list = {}
  for seq = 0, i % 4 do
    list[#list + 1] = nflog.log({ family = six and 10 or 2, hook = r:below(6), protocol = ethertype, payload = bytes,
      seq = seq * (i % 3 + 1), mark = i, indev = i % 2 == 0 and 4 or nil, outdev = 5,
      prefix = r:pick({ "cellflow:deny:web", "cellflow:allow:", "other" }) })
  end
  write("nflog", table.concat(list) .. nflog.message(nflog.DONE, "\2\0\0\0"))
end
