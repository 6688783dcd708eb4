-- SPDX-License-Identifier: MIT
--
-- XXH3 as it is called: canonical bytes against the published value, and a secret that everything depends on.
local ffi = require("ffi")
require("core_headers")("hash")
local core = require("spec.helper").core

local function hex(bytes, len)
  return (ffi.string(bytes, len):gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

describe("a hash", function()
  it("of 128 bits without a secret is the published one", function()
    local out = ffi.new("uint8_t[16]")
    core.cf_hash128("", 0, out)
    assert.equal("99aa06d3014798d86001c324468d497f", hex(out, 16))
  end)

  it("of 64 bits is another one for another secret, and the same for the same", function()
    local one, other, again = ffi.new("struct cf_hash_secret[3]"), {}, {}
    core.cf_hash_secret_make(one, "seed one", 8)
    core.cf_hash_secret_make(one + 1, "seed two", 8)
    core.cf_hash_secret_make(one + 2, "seed one", 8)
    for len = 0, 64 do
      local text = ("x"):rep(len)
      other[len] = core.cf_hash64(one, text, len) ~= core.cf_hash64(one + 1, text, len)
      again[len] = core.cf_hash64(one, text, len) == core.cf_hash64(one + 2, text, len)
      assert.same({ true, true }, { other[len], again[len] }, "length " .. len)
    end
  end)
end)
