-- SPDX-License-Identifier: MIT
-- The privileged half's C functions as specs call them: results as Lua values, failures as kind and text.
local ffi = require("ffi")
local helper = require("spec.helper")
require("core_headers")("error", "flow", "netns", "interface", "tcx", "clsact", "attach", "bpf_object", "path_watch",
  "cell_watch", "libbpf_log")
ffi.cdef([[
int close(int fd);
int fcntl(int fd, int command, ...);
]])

local core = helper.core
local M = { core = core }

-- A struct cf_plan_cell from a table.
function M.cell(fields)
  local cell = ffi.new("struct cf_plan_cell")
  cell.name = fields.name or "x"
  cell.netns = fields.netns or ""
  cell.pid = fields.pid or 0
  cell.interface = fields.interface or ""
  cell.attach = fields.attach or ffi.C.CF_ATTACH_AUTO
  return cell
end

local function failure(err)
  return nil, ffi.string(err.text), tonumber(err.kind)
end

-- Each of these returns its value, or nil, text, kind.
function M.open(cell)
  local err = ffi.new("struct cf_error")
  local fd = core.cf_netns_open(cell, err)
  if fd < 0 then return failure(err) end
  return fd
end

function M.identity(fd)
  local err, id = ffi.new("struct cf_error"), ffi.new("struct cf_netns_id")
  if core.cf_netns_identity(fd, id, err) < 0 then return failure(err) end
  return id
end

function M.look(cell)
  local fd = assert(M.open(cell))
  local err, interface = ffi.new("struct cf_error"), ffi.new("struct cf_interface")
  local ret = core.cf_interface_look(fd, cell, interface, err)
  ffi.C.close(fd)
  if ret < 0 then return failure(err) end
  return interface
end

-- Runs `fn` inside the namespace of `cell`; returns what it returned.
function M.inside(cell, fn)
  local fd = assert(M.open(cell))
  local ok, result
  local callback = ffi.cast("int (*)(void *)", function()
    ok, result = pcall(fn)
    return 0
  end)
  local err = ffi.new("struct cf_error")
  local ret = core.cf_netns_do(fd, callback, nil, err)
  callback:free()
  ffi.C.close(fd)
  if ret < 0 then return failure(err) end
  if not ok then error(result, 0) end
  return result
end
jit.off(M.inside) -- compiled code may not call C that calls back

function M.maps()
  local maps = ffi.new("struct cf_bpf_maps")
  core.cf_bpf_maps_init(maps)
  return ffi.gc(maps, core.cf_bpf_maps_close)
end

-- options: hooks (default: both), path, cell, link_len, ring_bytes, flow_entries
function M.load(maps, fields)
  fields = fields or {}
  local err, object = ffi.new("struct cf_error"), ffi.new("struct cf_bpf_object")
  local options = ffi.new("struct cf_bpf_options", {
    wake_interval_ns = 1000000, cell = fields.cell or 0, link_len = fields.link_len or 14,
    hooks = fields.hooks or 3,
    seed = fields.seed or 1, events = fields.events or 2, flags = fields.flags or 0,
    path = fields.path, ring_bytes = fields.ring_bytes or 65536,
    flow_entries = fields.flow_entries or 1024,
  })
  if core.cf_bpf_load(maps, options, object, err) < 0 then return failure(err) end
  return ffi.gc(object, core.cf_bpf_unload)
end

function M.attach(cell, object)
  local interface, text, kind = M.look(cell)
  if not interface then return nil, text, kind end
  local fd = assert(M.open(cell))
  local err, attachment = ffi.new("struct cf_error"), ffi.new("struct cf_attachment")
  local ret = core.cf_attach(fd, cell, interface, object.prog_fd, attachment, err)
  ffi.C.close(fd)
  if ret < 0 then return failure(err) end
  return attachment
end

function M.detach(attachment, cell)
  local err = ffi.new("struct cf_error")
  if core.cf_detach(attachment, cell, err) < 0 then return failure(err) end
  return true
end

function M.stats(object)
  local sum = ffi.new("struct cf_stats")
  assert(core.cf_bpf_stats(object.stats_fd, sum) == 0)
  return sum
end

function M.packets(object)
  return tonumber(M.stats(object).n[ffi.C.CF_STAT_PACKETS])
end

return M
