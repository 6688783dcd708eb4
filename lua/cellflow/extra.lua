-- SPDX-License-Identifier: MIT
-- emit(what): a line on every output besides the records. Text goes out as it is, a table as a JSON object, and the
-- record of format or of a decision handler as core writes it, when nothing in it was changed.
local options = require("cellflow.options")
local place = require("cellflow.place")

local M = {}

local BRACE = ("{"):byte()

-- fn(what), out of the compiler's sight: the loops of the encoder, met while the batch loop is recorded, would keep
-- that from being compiled at all. A C function that calls back ends the trace in good order; there is no plainer one.
local function aside(fn)
  local gsub = string.gsub
  local argument, answer
  local function call() answer = fn(argument) end
  return function(what)
    argument, answer = what, nil
    gsub("x", "x", call)
    argument = nil
    return answer
  end
end

--- The word. `phase.reading`: the policy file is still being read. `later` gets record (of record.lua) and write_record
--- (core's record of the event in hand) once they exist.
function M.new(core, phase, encoder, later)
  local write, byte, type = core.cf_extra_write, string.byte, type
  local encode, record_json = aside(encoder.encode), aside(function(record) return (record.json()) end)

  local function emit_table(what)
    local record = later.record
    if what == record.proxy then
      record.check_valid()
      if not record.changed() then return (later.write_record()) end
      local line = record_json(record)
      return (write(line, #line))
    end
    local line = encode(what)
    if byte(line) ~= BRACE then
      place.raise("emit: a table needs named members, like emit { type = \"note\", text = \"...\" }")
    end
    write(line, #line)
  end

  return function(what)
    if phase.reading then
      place.raise("emit() may only be used in functions, not while the file is read")
    end
    if type(what) == "string" then
      write(what, #what)
    elseif type(what) == "table" then
      emit_table(what)
    elseif type(what) == "cdata" and not options.is_cdata_number(what) then
      place.raise("emit takes a record, a table or text; of a flow event emit ev:copy()")
    else
      place.raise("emit takes a record, a table or text, got " .. options.describe(what))
    end
  end
end

return M
