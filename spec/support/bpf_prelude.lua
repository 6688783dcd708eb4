-- SPDX-License-Identifier: GPL-2.0-only
-- BPF programs that change a packet and then go on with another program. BPF_PROG_TEST_RUN refuses some packets that
-- a real interface does carry; these make them out of packets that it accepts.
local ffi = require("ffi")
local bit = require("bit")
local bpf = require("bpf_libbpf")

local M = {}
M.__index = M

local PROG_ARRAY, SCHED_CLS = 3, 3
local STORE_BYTES, TAIL_CALL, VLAN_PUSH = 9, 12, 18
local MOV, MOV_IMM, ADD_IMM, STORE16_IMM, LOAD_IMM64, CALL, EXIT = 0xbf, 0xb7, 0x07, 0x6a, 0x18, 0x85, 0x95

local function insn(code, target, source, offset, immediate)
  return { code, target + source * 16, offset, immediate }
end

local function network16(n)
  return bit.rshift(bit.bswap(n), 16)
end

-- Runs `instructions` (the packet is in r6 and r1), then the program target_fd, whose return value is the result;
-- 0 if it could not be called.
local function load(instructions, target_fd)
  local self = setmetatable({}, M)
  self.map = bpf.lib.bpf_map_create(PROG_ARRAY, "target", 4, 4, 1, nil)
  assert(self.map >= 0, "no program array")
  local slot, target = ffi.new("uint32_t[1]"), ffi.new("uint32_t[1]", target_fd)
  assert(bpf.lib.bpf_map_update_elem(self.map, slot, target, 0) == 0, "the target cannot be called")
  local code = { insn(MOV, 6, 1, 0, 0) }
  for _, instruction in ipairs(instructions) do code[#code + 1] = instruction end
  for _, instruction in ipairs({
    insn(MOV, 1, 6, 0, 0),
    insn(LOAD_IMM64, 2, 1, 0, self.map), insn(0, 0, 0, 0, 0), -- source 1: a map's fd
    insn(MOV_IMM, 3, 0, 0, 0),
    insn(CALL, 0, 0, 0, TAIL_CALL),
    insn(MOV_IMM, 0, 0, 0, 0),
    insn(EXIT, 0, 0, 0, 0),
  }) do code[#code + 1] = instruction end
  local array = ffi.new("struct spec_bpf_insn[?]", #code, code)
  self.fd = bpf.lib.bpf_prog_load(SCHED_CLS, "prelude", "GPL", array, #code, nil)
  assert(self.fd >= 0, "the prelude does not load")
  return self
end

-- A VLAN tag in the packet's metadata, as after a redirect or a forward (vlan_present cannot be in the context of a
-- test run). tci: priority and id. The caller closes what is returned; its fd is the program to run.
function M.vlan_push(tpid, tci, target_fd)
  return load({
    insn(MOV_IMM, 2, 0, 0, network16(tpid)),
    insn(MOV_IMM, 3, 0, 0, tci),
    insn(CALL, 0, 0, 0, VLAN_PUSH),
  }, target_fd)
end

-- Another ethertype in the packet's bytes, while the kernel keeps what it made of the first one: a packet socket's
-- owner can do that. It also gets packets with a cut network header past the kernel, which refuses them otherwise.
function M.set_ethertype(ethertype, target_fd)
  return load({
    insn(STORE16_IMM, 10, 0, -2, network16(ethertype)),
    insn(MOV_IMM, 2, 0, 0, 12),
    insn(MOV, 3, 10, 0, 0), insn(ADD_IMM, 3, 0, 0, -2),
    insn(MOV_IMM, 4, 0, 0, 2),
    insn(MOV_IMM, 5, 0, 0, 0),
    insn(CALL, 0, 0, 0, STORE_BYTES),
  }, target_fd)
end

function M:close()
  ffi.C.close(self.fd)
  ffi.C.close(self.map)
end

return M
