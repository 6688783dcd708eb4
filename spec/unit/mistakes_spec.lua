-- SPDX-License-Identifier: MIT
-- Mistakes in functions of a policy that no other spec makes: what the log says, at which line.
require("spec.helper")
local fault = require("cellflow.fault")
local recording = require("recording_core")

-- Behind the line of a cell, so that a line of 1 is not right by chance.
local MISTAKES = {
  { "function verdict(ev) for name in pairs(ev) do log.debug(name) end end",
    "a flow event cannot be walked; use pairs(ev:copy()) [in verdict" },
  { "function verdict() emit { 1, 2 } end",
    'emit: a table needs named members, like emit { type = "note", text = "..." } [in verdict' },
  { "function verdict() log.info(json.encode(('x'):rep(2 ^ 20 + 1))) end",
    "json.encode: text is longer than an output line may be [in verdict" },
  { "local later = limits function verdict() later { slow_ms = 3 } end",
    "limits() may only be used while the file is read [in verdict" },
  { "on('decision', function(record) record.site = 'x' end)",
    'a record can be changed in format only; a handler may emit a copy (record:copy()) [in on "decision"' },
  { "local last on('opened', function(ev) last = ev end) function format(record) record.event = last end",
    "record.event cannot be a flow event, which is valid during the call only [in format" },
}

describe("in a function,", function()
  for _, case in ipairs(MISTAKES) do
    it(case[2], function()
      local endings, out = recording.run("local _\n" .. case[1])
      assert.equal("cellflow.lua:2: " .. case[2], out.log[1].text:sub(1, 17 + #case[2] - 1))
      assert.equal("cellflow.lua:2", endings[1].error_place)
      assert.equal(1, #out.log)
    end)
  end

  it("an error of which nothing could be noted is said to be one", function()
    local core, out = recording.new()
    assert.same({ "p.lua:7", "error that left no text" }, { fault.new(core).settle("verdict", "p.lua:7", nil) })
    assert.equal("p.lua:7: error that left no text [in verdict]", out.log[1].text)
  end)
end)
