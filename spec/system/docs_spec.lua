-- SPDX-License-Identifier: MIT
-- The docs speak the truth: every policy in them loads and survives `cellflow check`, every file they point to exists,
-- and every member that a record can have is listed.
local helper = require("spec.helper")
local verb = require("verb")

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

  -- "$ cat FILE" makes the file, "$ cellflow ..." is run; a line that ends in "..." is compared as far as it goes.
  it("show what check and explain really say", function()
    local place, sessions, commands = verb.open(), 0, 0
    for session in read("docs/policy.md"):gmatch("```console\n(.-)```") do
      sessions = sessions + 1
      for command, said in ("\n" .. session:gsub("\n%$ ", "\n\0$ ")):gmatch("%$ ([^\n]*)\n([^%z]*)") do
        local file = command:match("^cat (.*)$")
        if file then
          place:write(file, said)
        else
          local _, out, err = place:run(command:gsub("^cellflow ", ""))
          local got = err .. out
          for line in said:gmatch("[^\n]+") do
            local start = line:match("^(.*)%.%.%.$")
            local is_there = start and ("\n" .. got):find("\n" .. start, 1, true)
              or ("\n" .. got):find("\n" .. line .. "\n", 1, true)
            assert.truthy(is_there, line .. "\nis not in\n" .. got)
          end
          assert.equal(select(2, said:gsub("\n", "")), select(2, got:gsub("\n", "")))
          commands = commands + 1
        end
      end
    end
    place:close()
    assert.same({ 2, 3 }, { sessions, commands })
  end)

  it("point to files that exist", function()
    for _, path in ipairs({ "README.md", "CONTRIBUTING.md", "docs/policy.md", "docs/records.md", "docs/testing.md",
      "docs/testing-policies.md" }) do
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

  it("show an error as it is", function()
    local shown = assert(read("docs/policy.md"):match('cellflow%.lua:14: (cell "web": unknown option[^\n]+)'))
    local said = check('cell "web" { netsn = "x" }')
    assert.truthy(said:find(shown, 1, true), said)
  end)
end)
