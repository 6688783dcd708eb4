-- SPDX-License-Identifier: MIT
-- The docs speak the truth: every policy in them loads and survives `cellflow check`, every file they point to exists,
-- and every member that a record can have is listed.
local helper = require("spec.helper")

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

local function check(policy)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(policy)
  file:close()
  local run = io.popen(("%s/cellflow check %s 2>&1; echo exit $?"):format(helper.build, path))
  local said = run:read("*a")
  run:close()
  os.remove(path)
  return said
end

describe("the docs", function()
  for _, path in ipairs({ "README.md", "docs/policy.md" }) do
    local number = 0
    for block in read(path):gmatch("```lua\n(.-)```") do
      number = number + 1
      it(("%s: policy %d loads and is checked"):format(path, number), function()
        local said = check(block)
        assert.truthy(said:find("exit 0", 1, true), said)
      end)
    end
    it(path .. " has policies in it", function() assert.truthy(number > 0) end)
  end

  it("point to files that exist", function()
    for _, path in ipairs({ "README.md", "CONTRIBUTING.md", "docs/policy.md", "docs/records.md" }) do
      for target in read(path):gmatch("%]%(([^)#:]+)%)") do
        local from_docs = path:match("^docs/") and "docs/" .. target or target
        local found = os.execute(("test -e '%s'"):format(from_docs))
        assert.truthy(found == 0 or found == true, path .. " points to " .. target)
      end
    end
  end)

  it("list every member that core can write into a record", function()
    local documented = read("docs/records.md")
    local sources = read("core/record.c") .. read("core/record_parts.c")
    local count = 0
    for member in sources:gmatch('\\"([a-z_]+)\\":') do
      count = count + 1
      assert.truthy(documented:find("`" .. member .. "`", 1, true), "docs/records.md has no " .. member)
    end
    assert.truthy(count > 20, "found only " .. count .. " members")
  end)
end)
