-- SPDX-License-Identifier: MIT
-- Declares C headers of core/ that Lua does not read in the product, once for each, from their own text.
local ffi = require("ffi")

local declared = {}

return function(...)
  for _, name in ipairs({ ... }) do
    if not declared[name] then
      declared[name] = true
      local lines = {}
      for line in io.lines("core/" .. name .. ".h") do
        lines[#lines + 1] = line:sub(1, 1) == "#" and "" or line
      end
      -- LuaJIT knows neither; an _Atomic integer has the layout of the plain one on every machine it runs on.
      local text = table.concat(lines, "\n"):gsub("__attribute__%b()", ""):gsub("_Atomic%s+", "")
      ffi.cdef(text)
    end
  end
end
