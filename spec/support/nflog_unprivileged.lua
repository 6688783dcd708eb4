-- SPDX-License-Identifier: MIT
-- A process of its own for spec/system/nflog_socket_spec.lua, without privileges: reads the NFLOG socket that it was
-- given as descriptor arg[1], or ("open") tries to open one in its own namespace; prints what came of it.
package.path = "./spec/support/?.lua;" .. package.path
package.loaded["spec.helper"] = dofile("spec/helper.lua")
local ffi = require("ffi")
local nflog = require("nflog_message")
local core = require("spec.helper").core

if arg[1] == "open" then
  local privileged = require("privileged")
  local nsfd = assert(privileged.open(privileged.cell({ netns = "/proc/self/ns/net" })))
  local err, fd = ffi.new("struct cf_error"), ffi.new("int[1]")
  core.cf_nflog_open(nsfd, 100, fd, err)
  print(tonumber(err.kind), ffi.string(err.text))
  return
end

local reader = ffi.new("struct cf_nflog")
core.cf_nflog_init(reader, tonumber(arg[1]), 7, 0)
local callback, list = nflog.collect()
jit.off(true)
print(core.cf_nflog_read(reader, 100, callback, nil), #list, list[1] and ffi.string(list[1].prefix))
