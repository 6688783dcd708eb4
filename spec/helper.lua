-- Loaded by busted before any spec: finds the build and declares the C headers once (a second ffi.cdef of the
-- same struct is an error, so no spec may do it itself).
local build = os.getenv("CELLFLOW_BUILD") or "build"
package.path = table.concat({
  "./lua/?.lua", "./" .. build .. "/lua/?.lua", "./spec/support/?.lua", package.path,
}, ";")

local ffi = require("ffi")
require("cellflow.event_h")
require("cellflow.plan_h")
require("cellflow.api_h")

-- `sanitized`: every instruction of C costs several times as much, so what only repeats may repeat less.
local M = {
  build = build, sanitized = build:find("sanitize", 1, true) ~= nil,
  core = ffi.load("./" .. build .. "/libcellflow.so"),
}
package.loaded["spec.helper"] = M
return M
