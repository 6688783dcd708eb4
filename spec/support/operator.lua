-- SPDX-License-Identifier: MIT
--
-- What an operator does and sees: writes a policy, runs a command, reads one line that says what is wrong. A desk is a
-- directory of its own with a lab beside it; everything in it goes with close().
local cellflow = require("cellflow")
local labs = require("lab")

local M = {}
local Desk = {}
Desk.__index = Desk

--- A desk; `lab`: a lab that is up, or nil where none is needed.
function M.open(lab)
  local path = labs.must("mktemp -d /tmp/cellflow-spec.XXXXXX"):gsub("%s+$", "")
  labs.must("chmod 755 " .. path)
  return setmetatable({ lab = lab, path = path }, Desk)
end

--- The path of a file on the desk.
function Desk:at(name) return self.path .. "/" .. name end

--- Write a file; returns its path.
function Desk:write(name, text)
  local file = assert(io.open(self:at(name), "w"))
  file:write(text)
  file:close()
  return self:at(name)
end

--- A policy that watches the lab's cell, with `rest` from its second line on.
function Desk:policy(rest, name)
  return self:write(name or "p.lua", ('cell "web" { netns = %q, interface = "eth0" }\n%s\n'):format(self.lab.cell,
    rest or ""))
end

--- Run the executable to its end; returns exit code, stdout, stderr. Shell text: `words` behind its name, `before` in
--- front of it, and `after` them all, for a stdout other than the desk's.
function Desk:run(words, before, after)
  local out, err = self:at("out"), self:at("err")
  local _, code = labs.run(("%s timeout 30 %s %s 2>%s </dev/null >%s %s"):format(before or "", cellflow.path, words,
    err, out, after or ""))
  return code, labs.read_file(out), labs.read_file(err)
end

function Desk:close()
  labs.must("rm -rf " .. self.path)
end

return M
