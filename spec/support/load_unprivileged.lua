-- SPDX-License-Identifier: MIT
-- A process of its own for spec/core/bpf_object_spec.lua, run with fewer capabilities: prints kind and text.
-- ARGUMENT: path of the object; without one it is the built-in one.
package.path = "./spec/support/?.lua;" .. package.path
package.loaded["spec.helper"] = dofile("spec/helper.lua")
local privileged = require("privileged")

local _, text, kind = privileged.load(privileged.maps(), arg[1] and { path = arg[1], hooks = 1 })
print(kind, text)
