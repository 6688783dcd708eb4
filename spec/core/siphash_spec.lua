-- SPDX-License-Identifier: MIT
--
-- SipHash-2-4 against the published vectors: key 00 01 .. 0f, message 00 01 .. of the length given.
local ffi = require("ffi")
local core = require("output_core")

local key = ffi.new("uint8_t[16]")
local message = ffi.new("uint8_t[64]")
for i = 0, 63 do
  message[i] = i
  key[i % 16] = i % 16
end

local function hex(bytes, len)
  return (ffi.string(bytes, len):gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

describe("siphash", function()
  it("has the published 64-bit results", function()
    local vectors = {
      [0] = "310e0edd47db6f72", [1] = "fd67dc93c539f874", [2] = "5a4fa9d909806c0d", [3] = "2d7efbd796666785",
      [4] = "b7877127e09427cf", [5] = "8da699cd64557618", [6] = "cee3fe586e46c9cb", [7] = "37d1018bf50002ab",
      [8] = "6224939a79f5f593", [9] = "b0e4a90bdf82009e", [15] = "e545be4961ca29a1", [16] = "db9bc2577fcc2a3f",
      [63] = "724506eb4c328a95",
    }
    for len, expected in pairs(vectors) do
      local result = ffi.new("uint64_t[1]", core.cf_siphash64(key, message, len))
      assert.equal(expected, hex(result, 8), "length " .. len)
    end
  end)

  it("has the published 128-bit results", function()
    local vectors = {
      [0] = "a3817f04ba25a8e66df67214c7550293", [1] = "da87c1d86b99af44347659119b22fc45",
      [7] = "a1f1ebbed8dbc153c0b84aa61ff08239", [8] = "3b62a9ba6258f5610f83e264f31497b4",
      [9] = "264499060ad9baabc47f8b02bb6d71ed", [15] = "5493e99933b0a8117e08ec0f97cfc3d9",
      [63] = "5150d1772f50834a503e069a973fbd7c",
    }
    local out = ffi.new("uint8_t[16]")
    for len, expected in pairs(vectors) do
      core.cf_siphash128(key, message, len, out)
      assert.equal(expected, hex(out, 16), "length " .. len)
    end
  end)
end)
