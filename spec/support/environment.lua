-- SPDX-License-Identifier: MIT
-- Variables of this process's own environment, for specs of C code that reads them.
local ffi = require("ffi")

ffi.cdef[[
int setenv(const char *name, const char *value, int overwrite);
int unsetenv(const char *name);
]]

local M = {}

function M.set(name, value) assert(ffi.C.setenv(name, value, 1) == 0) end

function M.clear(names)
  for _, name in ipairs(names) do ffi.C.unsetenv(name) end
end

return M
