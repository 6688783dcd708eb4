-- SPDX-License-Identifier: MIT
-- Another cellflow, as a process of its own: attaches to e0 of namespace arg[1] by clsact (hooks: arg[2]), says
-- "attached" and waits to be killed.
local ffi = require("ffi")
package.path = "./spec/support/?.lua;" .. package.path
package.loaded["spec.helper"] = dofile("spec/helper.lua")
local privileged = require("privileged")

local cell = privileged.cell({ netns = arg[1], interface = "e0", attach = ffi.C.CF_ATTACH_CLSACT })
local object = assert(privileged.load(privileged.maps(), { hooks = tonumber(arg[2]) }))
local attachment = assert(privileged.attach(cell, object))
io.write("attached\n")
io.flush()
ffi.cdef("unsigned int sleep(unsigned int seconds);")
ffi.C.sleep(60)
privileged.detach(attachment, cell)
