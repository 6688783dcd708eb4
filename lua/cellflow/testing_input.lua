-- SPDX-License-Identifier: MIT
-- What specs say of an event, as the words that given_event.lua reads: a table of fields, or a record's JSON text.
local event_words = require("cellflow.event_words")
local options = require("cellflow.options")

local M = {}

M.FIELD_OF = { cell = "cell_id" } -- what a policy calls it

local function text_of(name, value)
  local kind = type(value)
  if kind == "string" or kind == "boolean" then return tostring(value) end
  if kind == "number" then return value % 1 == 0 and ("%.0f"):format(value) or ("%.9f"):format(value) end
  if kind == "table" then return table.concat(value, ",") end
  return nil, ("event: %s must be text, a number, true or false, got %s"):format(name, options.describe(value))
end

--- Words for given_event.read, of which `seq` is the number where nobody gives one; or nil and what is wrong.
function M.words(given, seq)
  if type(given) == "string" then return { given } end
  if given == nil then given = {} end
  if type(given) ~= "table" then
    return nil, "an event is a table of fields, or a record as JSON text, got " .. options.describe(given)
  end
  local words = {}
  for name, value in pairs(given) do
    name = M.FIELD_OF[name] or name
    local wrong = event_words.unknown(tostring(name))
    if wrong then return nil, ("event: %s"):format(wrong) end
    local text
    text, wrong = text_of(name, value)
    if not text then return nil, wrong end
    words[#words + 1] = name .. "=" .. text
  end
  if given.seq == nil then words[#words + 1] = ("seq=%d"):format(seq) end
  return words
end

return M
