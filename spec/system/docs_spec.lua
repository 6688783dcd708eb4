-- SPDX-License-Identifier: MIT
-- The docs speak the truth: every policy in them loads and survives `cellflow check`, every file they point to exists,
-- and every member that a record can have is listed.
require("spec.helper")
local verb = require("verb")

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

-- `cellflow check` of a policy, where the files are that docs/policy.md shows, by the name in their first line.
local files_place
local function check(policy)
  files_place:write("policy.lua", policy)
  local code, out, err = files_place:run("check policy.lua")
  return ("%s%sexit %d\n"):format(err, out, code)
end

-- Policies of a text, and the files among them: name -> text.
local function blocks(text)
  local policies, files = {}, {}
  for block in text:gmatch("```lua\n(.-)```") do
    local name = block:match("^%-%- ([%w_/]+%.lua)\n")
    if name then files[name] = block else policies[#policies + 1] = block end
  end
  return policies, files
end

-- The words of the language: what a policy can name, without what is plain Lua's.
local PLAIN_LUA = " assert error ipairs next pairs pcall select tonumber tostring type unpack "
local function words()
  local list = {}
  local all = read("spec/unit/environment_spec.lua"):match("local WORDS = %[%[\n(.-)%]%]")
  for word in all:gmatch("%S+") do
    local library = word:match("^(%l+)%.")
    local is_plain = library and library ~= "log" and library ~= "json" or PLAIN_LUA:find(" " .. word .. " ", 1, true)
    if not is_plain then list[#list + 1] = word end
  end
  return list
end

describe("the docs", function()
  setup(function()
    files_place = verb.open()
    os.execute(("mkdir -p %s/lists"):format(files_place.path))
  end)
  teardown(function() files_place:close() end)

  for _, path in ipairs({ "README.md", "docs/policy.md" }) do
    local policies, files = blocks(read(path))
    for number, block in ipairs(policies) do
      it(("%s: policy %d loads and is checked"):format(path, number), function()
        for name, text in pairs(files) do files_place:write(name, text) end
        local said = check(block)
        assert.truthy(said:find("exit 0", 1, true), said)
        assert.is_nil(said:find("warning", 1, true), said)
      end)
    end
    it(path .. " has policies in it", function() assert.truthy(#policies > 0) end)
  end

  it("use each word of the language in one of these policies", function()
    local text = table.concat((blocks(read("docs/policy.md"))), "\n")
    local unused = {}
    for _, word in ipairs(words()) do
      if not (" " .. text):find("[^%w_.]" .. word:gsub("%p", "%%%0") .. "[^%w_]") then unused[#unused + 1] = word end
    end
    for _, method in ipairs({ "add", "get", "count", "top", "forgotten", "has", "copy" }) do
      if not text:find(":" .. method .. "(", 1, true) then unused[#unused + 1] = ":" .. method end
    end
    for _, hook in ipairs({ "dedup", "verdict", "reason", "format" }) do
      if not text:find("function " .. hook .. "(", 1, true) then unused[#unused + 1] = hook end
    end
    assert.same({}, unused)
  end)

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
