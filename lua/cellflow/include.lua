-- SPDX-License-Identifier: MIT
-- include "file.lua": another file of the policy, in the same environment, while the first one is read. Returns what
-- the file returns. Who opens it is the caller's: a worker may not.
local options = require("cellflow.options")
local place = require("cellflow.place")
local sandbox = require("cellflow.sandbox")

local M = {}

M.DEPTH_MAX = 8
M.FILES_MAX = 64
local PATH_MAX = 255

-- Relative to the file that says it.
local function resolve(path, from)
  if path:sub(1, 1) == "/" then return path end
  return (from:match("^(.*/)") or "") .. path:gsub("^%./+", "")
end

local function check(self, path)
  if type(path) ~= "string" then
    place.raise('include takes a file: include "lists.lua"; got ' .. options.describe(path))
  elseif not self.env then
    place.raise("include() may only be used while the file is read")
  end
  local _, wrong = options.text(PATH_MAX + 1)(path)
  if wrong then place.raise("include: the path " .. wrong) end
end

local function check_bounds(self, title, path)
  for _, open in ipairs(self.stack) do
    if open.path == path then
      place.raise(("%s: %s is being read already (%s)"):format(title, path,
        open.by and "included at " .. open.by or "it is the policy itself"))
    end
  end
  if #self.stack > M.DEPTH_MAX then
    place.raise(("%s: nested deeper than %d files; it began at %s"):format(title, M.DEPTH_MAX, self.stack[2].by))
  elseif self.count == M.FILES_MAX then
    place.raise(("%s is one too many; a policy can include %d files"):format(title, M.FILES_MAX))
  end
end

-- Out of sight of the hook that bounds the time, compiled code could loop for ever: chunks stay interpreted until all
-- is read.
local function run(self, path, text, by)
  local chunk, wrong = sandbox.compile(text, path, self.env)
  if not chunk then error(("%s (included at %s)"):format(wrong, by), 0) end
  jit.off(chunk, true)
  self.chunks[#self.chunks + 1] = chunk
  self.stack[#self.stack + 1] = { path = path, by = by }
  local answer = chunk()
  self.stack[#self.stack] = nil
  return answer
end

--- `file`: the policy itself; read(path) -> text, or nil and why not. Returns { include = the word, open(env),
--- close() }.
function M.new(file, read)
  local self = { stack = { { path = file } }, count = 0, chunks = {}, env = nil }
  local includes = {}
  function includes.include(path)
    check(self, path)
    local title, by = ('include "%s"'):format(path), place.here() or "?"
    path = resolve(path, self.stack[#self.stack].path)
    check_bounds(self, title, path)
    self.count = self.count + 1
    local text, wrong = read(path)
    if not text then place.raise(("%s: %s"):format(title, wrong)) end
    return run(self, path, text, by)
  end
  function includes.open(env) self.env = env end
  function includes.close()
    self.env = nil
    for _, chunk in ipairs(self.chunks) do jit.on(chunk, true) end
  end
  return includes
end

return M
