-- SPDX-License-Identifier: MIT
-- `cellflow check` on a policy that loads and has rules that never apply: warnings on stderr, the plan on stdout, and
-- exit code 0.
local helper = require("spec.helper")

local function check(policy)
  local path, errors = os.tmpname(), os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(policy)
  file:close()
  local run = io.popen(("%s/cellflow check %s 2>%s; echo exit $?"):format(helper.build, path, errors))
  local said = run:read("*a")
  run:close()
  local log_file = assert(io.open(errors))
  local log = log_file:read("*a")
  log_file:close()
  os.remove(path)
  os.remove(errors)
  local pattern = path:gsub("%p", "%%%0")
  return (said:gsub(pattern, "FILE")), (log:gsub(pattern, "FILE"))
end

describe("cellflow check", function()
  it("warns of rules that never apply, and passes", function()
    local said, log = check('cell "a" { pid = 1 }\nallow "a" { dst_port = "1-100" }\ndeny "b" { dst_port = 80 }\n')
    assert.matches("FILE: ok, 1 cell", said, 1, true)
    assert.matches("exit 0", said, 1, true)
    assert.equal('cellflow: warning: FILE:3: deny "b" never applies: allow "a" at FILE:2 comes first and matches ' ..
      "all that it matches and decides otherwise\n", log)
  end)
  it("still fails for what is wrong", function()
    local said, log = check('allow "a" {}\ndeny "b" {}\nfunction verdict(ev) return ev.nothing end\n')
    assert.matches("exit 3", said, 1, true)
    assert.matches('warning: FILE:2: deny "b" never applies', log, 1, true)
    assert.matches('error: FILE:3: a flow event has no field "nothing"', log, 1, true)
  end)
end)
