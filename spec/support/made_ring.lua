-- SPDX-License-Identifier: MIT
--
-- A ring made by hand in a memfd, for specs of its consumer. The kernel maps the data twice in a row; here the second
-- copy is written by hand.
local ffi = require("ffi")
local descriptors = require("descriptors")
require("spec.helper")

local M = { PAGE = 4096, SIZE = 4096, LEN = tonumber(ffi.C.CF_EVENT_RING_LEN), BUSY = 0x80000000, DISCARD = 0x40000000 }
local PAGE, SIZE = M.PAGE, M.SIZE
local Ring = {}
Ring.__index = Ring

--- { fd, memory }; close() it.
function M.new()
  local fd = descriptors.memory(2 * PAGE + 2 * SIZE)
  return setmetatable({ fd = fd, memory = descriptors.map(fd, 2 * PAGE + 2 * SIZE) }, Ring)
end

function Ring:close() descriptors.close(self.fd) end

--- The positions, as pointers.
function Ring:consumer() return ffi.cast("uint64_t *", self.memory) end
function Ring:producer() return ffi.cast("uint64_t *", self.memory + PAGE) end

function Ring:byte(position, value)
  self.memory[2 * PAGE + position % SIZE] = value
  self.memory[2 * PAGE + SIZE + position % SIZE] = value
end

--- Append a record that begins with the bytes of `body` (a ctype, or a number: an event's first_seen_ns); returns where
--- it begins.
function Ring:produce(body, len, bits)
  len = len or M.LEN
  local at = tonumber(self:producer()[0])
  local header = ffi.new("uint32_t[2]", len + (bits or 0), 0)
  if type(body) == "number" then body = ffi.new("uint64_t[1]", body) end
  for i = 0, 7 do self:byte(at + i, ffi.cast("uint8_t *", header)[i]) end
  for i = 0, math.min(ffi.sizeof(body), math.max(len, 8)) - 1 do
    self:byte(at + 8 + i, ffi.cast("const uint8_t *", body)[i])
  end
  self:producer()[0] = at + math.floor((8 + len + 7) / 8) * 8
  return at
end

return M
