-- SPDX-License-Identifier: MIT
-- Finds core's functions: in the executable itself when they are linked into it, else in libcellflow.so (under
-- luajit and busted). Declares the headers first; every other module gets this table handed in and never asks here.
local ffi = require("ffi")

require("cellflow.event_h")
require("cellflow.plan_h")
require("cellflow.api_h")

if pcall(function() return ffi.C.cf_intern end) then
  return ffi.C
end
local helper = package.loaded["spec.helper"]
if type(helper) == "table" and helper.core then
  return helper.core
end
return ffi.load((os.getenv("CELLFLOW_BUILD") or "./build") .. "/libcellflow.so")
