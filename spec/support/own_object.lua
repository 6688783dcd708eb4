-- SPDX-License-Identifier: MIT
--
-- Objects of bpf/test as an operator installs them: copies in a directory that is root's alone, as cellflow demands of
-- the whole path, which a clone's need not be. remove_all() is for after_each.
local helper = require("spec.helper")
local lab = require("spec.support.lab")

local M = {}
local directories = {}

--- The path of a copy of build/bpf/test/NAME.bpf.o.
function M.install(name)
  local directory = lab.must("mktemp -d /tmp/cellflow-object.XXXXXX"):gsub("%s+$", "")
  directories[#directories + 1] = directory
  local path = ("%s/%s.o"):format(directory, name)
  lab.must(("install -o root -g root -m 644 %s/bpf/test/%s.bpf.o %s"):format(helper.build, name, path))
  return path
end

function M.remove_all()
  for _, directory in ipairs(directories) do lab.must("rm -r " .. directory) end
  directories = {}
end

return M
