-- SPDX-License-Identifier: MIT
-- emit: what becomes which line.
require("spec.helper")
local recording = require("recording_core")

local function emitted(text, events)
  local endings, out = recording.run(text, events)
  return out.extra, endings, out
end

describe("emit", function()
  it("writes text as it is and tables as objects, members sorted", function()
    assert.same({ "a line", "", '{"a":[1,2],"b":"x"}', "{}" }, emitted([[
      on("opened", function() emit("a line") emit("") emit { b = "x", a = { 1, 2 } } emit {} end)]]))
  end)
  it("writes the record of format as core does, or as it was changed", function()
    local extra = emitted([[function format(record)
      emit(record)
      record.team = "blue"
      emit(record)
      return record end]])
    assert.same({ decision = "allow", reason = "ebpf_flow_observed", seq = 1 }, extra[1])
    assert.matches('^{"schema_version":.*"team":"blue"', extra[2])
  end)
  it("writes an event's copy", function()
    assert.matches('"dst_port":443', emitted('function verdict(ev) emit(ev:copy()) end')[1], 1, true)
  end)
  it("leaves the endings of events alone", function()
    local _, endings = emitted('function verdict() emit("x") emit("y") end', { {}, {} })
    assert.same({ "record", "record" }, { endings[1].how, endings[2].how })
    assert.equal(2, #endings)
  end)
  local WRONG = {
    { "emit(ev)", "emit takes a record, a table or text; of a flow event emit ev:copy()" },
    { "emit()", "emit takes a record, a table or text, got nil" },
    { "emit(5)", "emit takes a record, a table or text, got 5" },
    { "emit { 1, 2 }", "emit: a table needs named members" },
    { "emit { f = emit }", "json.encode: a function has no JSON form" },
  }
  for _, case in ipairs(WRONG) do
    it("refuses " .. case[1], function()
      local extra, endings, out = emitted("function verdict(ev)\n" .. case[1] .. " end")
      assert.same({}, extra)
      assert.equal("cellflow.lua:2", endings[1].error_place)
      assert.matches(case[2], out.log[1].text, 1, true)
    end)
  end
  it("refuses a record whose call is over", function()
    local _, endings, out = emitted([[local kept
      on("opened", function() if kept then emit(kept) end end)
      on("decision", function(record) kept = record end)]], { {}, {} })
    assert.equal("cellflow.lua:2", endings[2].error_place)
    assert.matches("a record is valid during the call only", out.log[1].text, 1, true)
  end)
end)
