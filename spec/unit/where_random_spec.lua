-- SPDX-License-Identifier: MIT
-- --where with whatever somebody types: it is refused in one line that names the option, or it is an expression, and
-- then an event is shown or left out, and nothing else happens.
local ffi = require("ffi")
require("spec.helper")
local recording = require("recording_core")
local seeded = require("seeded")

local PIECES = { "dst_port", "vlan", "decision", "rule", "cell_id", "dst_addr", "duration_ms", "nope", "443", "1.5",
  ".5", "0x1F", "1e", "1e-3", '"text"', "'t'", '"', "'", "==", "~=", "<", ">", "<=", ">=", "=", "!=", "+",
  "-", "*", "/", "%",
  "^", "..", "...", "#", "not", "and", "or", "true", "false", "nil", "(", ")", ",", ":", ".", "net",
  "net(\"10.0.0.0/8\")",
  ":has(", "string", "math.max(", "bit.band(", "tonumber(", ":find(", "[", "]", "{", "}", ";", "--", "\\", "\n", "\0",
  "\255", "kB", "function", "end", "%d", "\27Lua" }

describe("--where of anything", function()
  local function soup(random)
    local list = {}
    for i = 1, 1 + random:below(9) do list[i] = random:pick(PIECES) end
    return table.concat(list, random:below(3) == 0 and "" or " ")
  end

  it("is refused in one line, or an answer", function()
    local random, refused, answered = seeded.new(20261123), 0, 0
    for _ = 1, 4000 do
      local text = soup(random)
      local core, out = recording.new()
      local host = require("cellflow.host").new(core)
      local wrong = host.select({ "where", text })
      if wrong then
        refused = refused + 1
        assert.matches("^%-%-where: [^%c]+$", (wrong:gsub("[\128-\255]", "")), text)
      elseif answered < 150 then
        answered = answered + 1
        host.load('cell "web" { netns = "w" }', "cellflow.lua", nil, ffi.new("struct cf_plan"))
        recording.fill(core.cf_batch_get().events[0], {})
        host.batch(1)
        assert.equal(1, #out.endings, text)
        assert.truthy(out.endings[1].how == "record" or out.endings[1].how == "filtered", text)
      end
    end
    assert.truthy(refused > 1000 and answered > 100, refused .. " refused, " .. answered .. " answered")
  end)
end)
