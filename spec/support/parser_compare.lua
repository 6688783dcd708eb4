-- SPDX-License-Identifier: GPL-2.0-only
--
-- One set of rules, compiled twice: frames through the tc program's parser (BPF_PROG_TEST_RUN) and through
-- cf_packet_parse, with and without the Ethernet header, whole and as a capture that ends early. Frames are
-- parser_frames.lua's.
local ffi = require("ffi")
local helper = require("spec.helper")
local bpf = require("bpf_libbpf")
local frames = require("parser_frames")
local seeded = require("seeded")
require("core_headers")("flow", "packet")

ffi.cdef([[
struct spec_parsed { struct cf_flow_key key; struct cf_packet packet; int32_t result; uint32_t pad0; };
int memcmp(const void *a, const void *b, size_t len);
]])

local C, core = ffi.C, helper.core
local M = {}
local HEADER, OTHER_ETHERTYPE, ROOM = 14, 0x88b5, 4096
local VARIANTS = 5 -- of each valid frame: itself, and spoilt ones
local NETWORK_END = HEADER + 2 * 4 + 40 -- of the longest fixed network header
local NEEDED = 20 -- bytes of a transport header that are read at most

local Compare = {}
Compare.__index = Compare

local function new()
  local self = setmetatable({ object = bpf.open(helper.build .. "/bpf/test/parse.bpf.o") }, Compare)
  bpf.load(self.object)
  self.program = bpf.program_fd(self.object, "parse")
  self.map = ffi.cast("struct spec_parsed *", C.mmap(nil, bpf.page_size, 1, 1, bpf.map_fd(self.object, "PARSED"), 0))
  self.frame = ffi.new("uint8_t[?]", HEADER + ROOM)
  ffi.copy(self.frame, "\2\0\0\0\0\2\2\0\0\0\0\1", 12)
  self.skb, self.options = ffi.new("struct spec_sk_buff"), ffi.new("struct spec_test_run_opts")
  local options = self.options
  options.sz, options.data_in = ffi.sizeof(options), self.frame
  options.ctx_in, options.ctx_size_in = self.skb, ffi.sizeof(self.skb)
  self.key, self.packet = ffi.new("struct cf_flow_key"), ffi.new("struct cf_packet")
  return self
end

function Compare:close()
  C.munmap(self.map, bpf.page_size)
  bpf.close(self.object)
end

local function ethertype_set(frame, ethertype)
  frame[12], frame[13] = math.floor(ethertype / 256), ethertype % 256
end

function Compare:kernel(ethertype, len)
  ethertype_set(self.frame, OTHER_ETHERTYPE)
  self.skb.mark, self.options.data_size_in = ethertype, HEADER + len
  self.options.data_size_out, self.options.ctx_size_out = 0, 0 -- the run before left its own
  if bpf.lib.bpf_prog_test_run_opts(self.program, self.options) ~= 0 then
    error(("test run of %d bytes: errno %d"):format(HEADER + len, ffi.errno()))
  end
  assert(self.options.retval == 0xffffffff, "the program did not parse")
end

local function hex(bytes, len)
  return (ffi.string(bytes, len):gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

function Compare:same(result)
  return result == self.map.result and C.memcmp(self.key, self.map.key, ffi.sizeof(self.key)) == 0
    and C.memcmp(self.packet, self.map.packet, ffi.sizeof(self.packet)) == 0
end

-- Without the Ethernet header all offsets that were found are 14 less; 0 is one that was not.
function Compare:without_header(ethertype, len)
  local result = core.cf_packet_parse(self.frame + HEADER, len, len, 0, ethertype, self.packet, self.key)
  for _, name in ipairs({ "network", "transport", "payload" }) do
    if name == "network" or self.packet[name] ~= 0 then self.packet[name] = self.packet[name] + HEADER end
  end
  return self:same(result)
end

-- What a capture of fewer bytes says is the same, or that a header byte is missing; the latter only when one is.
function Compare:captured(len, captured, wire_len)
  local result = core.cf_packet_parse(self.frame, HEADER + captured, wire_len, HEADER, 0, self.packet, self.key)
  if result == C.CF_STAT_UNPARSED_TRUNCATED then
    if self.map.result == result then return true end
    return captured < len and HEADER + captured < math.max(self.map.packet.transport, NETWORK_END) + NEEDED
  end
  return self:same(result)
end

-- Returns nil, or what is wrong with this frame.
function Compare:frame_check(r, ethertype, len)
  local frame, text = self.frame, nil
  self:kernel(ethertype, len)
  ethertype_set(frame, ethertype)
  local result = core.cf_packet_parse(frame, HEADER + len, HEADER + len, HEADER, 0, self.packet, self.key)
  if not self:same(result) then text = ("user space says %d"):format(result) end
  if not text and not self:without_header(ethertype, len) then text = "another result without the Ethernet header" end
  if not text and not self:captured(len, r:below(len + 1), HEADER + len) then text = "another result of a capture" end
  if not text then return nil end
  return ("%s, the tc program %d, of %s"):format(text, self.map.result, hex(frame, HEADER + len))
end

--- Compare `count` frames. Returns { frames =, results = { [CF_STAT_*] = count }, wrong = { text, ... } }.
function M.run(seed, count)
  local r, self = seeded.new(seed), new()
  local outcome = { frames = 0, results = {}, wrong = {} }
  local results = outcome.results
  while outcome.frames < count do
    local ethertype, bytes = frames.valid(r)
    for variant = 1, VARIANTS do
      local len = math.min(#bytes, ROOM)
      ffi.copy(self.frame + HEADER, bytes, len)
      if variant > 1 then len = frames.spoil(r, self.frame + HEADER, len) end
      local wrong = self:frame_check(r, ethertype, len)
      if wrong and #outcome.wrong < 20 then table.insert(outcome.wrong, wrong) end
      local result = tonumber(self.map.result)
      results[result] = (results[result] or 0) + 1
      outcome.frames = outcome.frames + 1
    end
  end
  self:close()
  return outcome
end

return M
