-- SPDX-License-Identifier: GPL-2.0-only
-- The tc program's parser and user space's make the same of the same bytes. scripts/soak parser does it for a million.
local ffi = require("ffi")
local parser_compare = require("parser_compare")

local FRAMES = 20000

describe("the two parsers", function()
  it("agree on generated frames, whole, without link header and cut, and every outcome is among them", function()
    local outcome = parser_compare.run(20261123, FRAMES)
    assert.same({}, outcome.wrong)
    assert.equal(FRAMES, outcome.frames)
    for result = ffi.C.CF_STAT_PARSED, ffi.C.CF_STAT_UNPARSED_VLAN_TOO_DEEP do
      assert.is_true((outcome.results[result] or 0) > 50, "outcome " .. result)
    end
  end)
end)
