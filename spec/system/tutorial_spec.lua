-- SPDX-License-Identifier: MIT
--
-- docs/tutorial.md as a newcomer would follow it: its files are written and its commands run, in order, in one shell
-- for each block. Only names differ: the lab, the directory, and cellflow is the one that was built.
local lab = require("spec.support.lab")
local helper = require("spec.helper")

local DIRECTORY = "tour/"

-- The blocks of a kind of text, in order: { kind, text }.
local function blocks(path)
  local list = {}
  for kind, text in lab.read_file(path):gmatch("```(%l+)\n(.-)```\n") do list[#list + 1] = { kind, text } end
  return list
end

describe("the tutorial", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local name, directory

  before_each(function()
    name = lab.name()
    directory = lab.must("mktemp -d /tmp/cellflow-spec.XXXXXX"):match("%S+")
    lab.must("chmod 755 " .. directory)
  end)

  after_each(function()
    lab.run("scripts/lab down --name " .. name)
    lab.run("rm -rf " .. directory)
  end)

  local function here(text)
    text = text:gsub("%f[%w]" .. DIRECTORY, directory .. "/"):gsub("mkdir %-p tour\n", "")
    text = text:gsub("%f[%w]lab%-cell", name .. "-cell")
    text = text:gsub("scripts/lab (%l+)", "scripts/lab %1 --name " .. name):gsub("sudo ", "")
    return (text:gsub("%f[%w]cellflow (%l)", helper.build .. "/cellflow %1"))
  end

  it("does what it says, from the first command to the last", function()
    local ran, said = 0, {}
    for _, block in ipairs(blocks("docs/tutorial.md")) do
      local text = here(block[2])
      if block[1] == "lua" then
        local file = assert(io.open(assert(text:match("^%-%- (%S+)\n")), "w"))
        file:write(text)
        file:close()
      else
        said[#said + 1] = lab.must("bash -e <<'TUTORIAL'\n" .. text .. "TUTORIAL")
        ran = ran + 1
      end
    end
    assert.equal(7, ran)
    local all = table.concat(said, "\n")
    assert.matches("lab up", said[1], 1, true)
    assert.matches("opened 4", said[2]) -- ping and three datagrams
    local _, denied = said[3]:gsub("deny not_declared", "")
    assert.equal(2 * 2 + 2, denied) -- opened and closed, and once more by --where
    assert.matches("123/udp", all, 1, true)
    assert.matches("2 successes", all, 1, true)
    assert.matches('\nallow "udp 10.77.0.1:123"', said[6], 1, true)
    local decided = {}
    for port, decision in said[7]:gmatch("10%.77%.0%.1:(%d+) udp (%l+)") do decided[port] = decision end
    assert.same({ ["53"] = "allow", ["123"] = "allow", ["443"] = "deny" }, decided)
  end)
end)
