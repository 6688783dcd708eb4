-- SPDX-License-Identifier: MIT
-- Verbs of one shot as a user runs them: files in a directory of their own, a command line there, and what it said.
local helper = require("spec.helper")

local M = {}
local Place = {}
Place.__index = Place

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

--- A directory for files; close() removes it.
function M.open()
  local pipe = io.popen("pwd; mktemp -d")
  local here, path = pipe:read("*l", "*l")
  pipe:close()
  local build = helper.build:sub(1, 1) == "/" and helper.build or here .. "/" .. helper.build
  return setmetatable({ path = path, program = build .. "/cellflow" }, Place)
end

function Place:write(name, text)
  local file = assert(io.open(self.path .. "/" .. name, "w"))
  file:write(text)
  file:close()
end

--- `cellflow WORDS` in the directory: exit code, stdout, stderr. `input` goes to stdin.
function Place:run(words, input)
  self:write("stdin", input or "")
  local pipe = io.popen(("cd %s && timeout 60 %s %s <stdin >stdout 2>stderr; echo $?"):format(self.path, self.program,
    words))
  local code = tonumber(pipe:read("*l"))
  pipe:close()
  return code, read(self.path .. "/stdout"), read(self.path .. "/stderr")
end

function Place:close() os.execute("rm -r " .. self.path) end

return M
