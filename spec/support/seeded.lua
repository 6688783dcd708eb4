-- SPDX-License-Identifier: MIT
--
-- Random numbers that are the same in every run: seeded.new(seed). xorshift32, good enough to fuzz with, and not
-- math.random, whose state other specs share.
local bit = require("bit")
local ffi = require("ffi")

local M = {}
M.__index = M

function M.new(seed)
  return setmetatable({ state = seed }, M)
end

--- A number in 0 .. n - 1.
function M:below(n)
  local x = self.state
  x = bit.bxor(x, bit.lshift(x, 13))
  x = bit.bxor(x, bit.rshift(x, 17))
  x = bit.bxor(x, bit.lshift(x, 5))
  self.state = x
  return (x % 4294967296) % n
end

function M:pick(list)
  return list[self:below(#list) + 1]
end

--- A string of `len` random bytes.
function M:bytes(len)
  local buffer = ffi.new("uint8_t[?]", len)
  for i = 0, len - 1 do
    buffer[i] = self:below(256)
  end
  return ffi.string(buffer, len)
end

--- A uint64_t with any number of significant bits.
function M:u64()
  local value = ffi.cast("uint64_t", self:below(4294967296)) * 4294967296ULL + self:below(4294967296)
  return bit.rshift(value, self:below(64))
end

return M
