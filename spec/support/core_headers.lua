-- SPDX-License-Identifier: MIT
-- Declares C headers of core/ that Lua does not read in the product, once for each, from their own text, after those
-- that they include.
local ffi = require("ffi")
require("spec.helper")

local declared = { event = true, plan = true, api = true } -- spec.helper did

local function declare(name)
  if declared[name] then return end
  declared[name] = true
  local lines = {}
  for line in io.lines("core/" .. name .. ".h") do
    local included = line:match('^#include "([%w_]+)%.h"')
    if included then declare(included) end
    lines[#lines + 1] = line:sub(1, 1) == "#" and "" or line
  end
  -- LuaJIT knows neither; an _Atomic integer has the layout of the plain one on every machine it runs on.
  ffi.cdef((table.concat(lines, "\n"):gsub("__attribute__%b()", ""):gsub("_Atomic%s+", "")))
end

return function(...)
  for _, name in ipairs({ ... }) do declare(name) end
end
