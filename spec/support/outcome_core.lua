-- SPDX-License-Identifier: MIT
-- Outcomes and outputs in this process, as a worker has them: core's own headers declared, one output into a file.
local ffi = require("ffi")
local core = require("spec.helper").core

require("core_headers")("error", "confine", "outcome", "sink", "emit")
ffi.cdef("int open(const char *path, int flags, ...);")

local O_WRONLY_APPEND = 1 + 1024

local M = { core = core }
local Outcome = {}
Outcome.__index = Outcome

--- An outcome with one output into a new file; :close() when done.
function M.open()
  local self = setmetatable({ shared = core.cf_shared_new(), path = os.tmpname() }, Outcome)
  self.sinks = ffi.new("struct cf_sink[1]")
  local fd = ffi.C.open(self.path, O_WRONLY_APPEND)
  assert(fd >= 0 and core.cf_sink_open(self.sinks, fd, -1, self.shared.outputs, nil) == 0)
  core.cf_emit_bind(self.shared, self.sinks, 1)
  return self
end

--- A transaction: `fn` inside it, then a commit unless `fn` returns "die".
function Outcome:run(fn)
  local next_outcome = core.cf_outcome_begin(self.shared)
  core.cf_emit_begin(next_outcome)
  local how = fn(next_outcome)
  core.cf_emit_begin(nil)
  if how ~= "die" then core.cf_outcome_commit(self.shared, next_outcome) end
end

--- The committed numbers.
function Outcome:now() return core.cf_outcome_current(self.shared) end

--- What the output has got so far.
function Outcome:written()
  assert(core.cf_sink_flush(self.sinks, self:now().outputs[0].head) == 0)
  local file = assert(io.open(self.path))
  local text = file:read("*a")
  file:close()
  return text
end

--- A successor's view: the names that Lua's objects have kept are asked for again.
function Outcome:rebind() core.cf_emit_bind(self.shared, self.sinks, 1) end

function Outcome:close()
  core.cf_emit_bind(nil, nil, 0)
  core.cf_sink_close(self.sinks)
  core.cf_shared_free(self.shared)
  os.remove(self.path)
end

return M
