-- SPDX-License-Identifier: MIT
-- A process of its own for spec/core/bpf_object_spec.lua, run with fewer capabilities: prints kind and text.
package.path = "./spec/support/?.lua;" .. package.path
package.loaded["spec.helper"] = dofile("spec/helper.lua")
local privileged = require("privileged")

local _, text, kind = privileged.load(privileged.maps())
print(kind, text)
