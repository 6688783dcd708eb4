-- SPDX-License-Identifier: MIT
-- What hooks may return, checked: anything else is an error of that hook, reported at its definition, because the line
-- of a return is not known any more. Used by every event and by `check`; the good case is two comparisons.
local options = require("cellflow.options")
local suggest = require("cellflow.suggest")

local M = {}

local DECISIONS = { "allow", "deny" }

--- Raised for a wrong answer; the text is in M.wrong_text. A fixed object, so that the handler knows it.
M.WRONG = setmetatable({}, { __tostring = function() return M.wrong_text end })
M.wrong_text = ""

local function wrong(text)
  M.wrong_text = text
  return error(M.WRONG, 0)
end

local function wrong_text_value(hook, what, value)
  return wrong(("%s must return %s, got %s"):format(hook, what, options.describe(value)))
end

local function is_text(value)
  return type(value) == "string" and value ~= ""
end

function M.check_dedup(key, seconds)
  if type(key) ~= "string" and type(key) ~= "number" then
    wrong_text_value("dedup", "a key (text or number), false or nil", key)
  elseif seconds ~= nil and not (type(seconds) == "number" and seconds > 0 and seconds < math.huge) then
    wrong(("dedup: the second value must be a number of seconds above 0, got %s"):format(options.describe(seconds)))
  end
end

local function wrong_verdict(decision)
  wrong(('verdict must return "allow", "deny" or nil, got %s%s'):format(options.describe(decision),
    suggest.hint(decision, DECISIONS)))
end

function M.check_verdict(decision, reason, rule)
  -- The type first: an event that was returned by mistake cannot be compared.
  if type(decision) ~= "string" or (decision ~= "allow" and decision ~= "deny") then
    if type(decision) ~= "nil" then return wrong_verdict(decision) end
    if reason ~= nil or rule ~= nil then return wrong("verdict returned a reason or rule without a decision") end
    return
  end
  if reason ~= nil and not is_text(reason) then
    wrong_text_value("verdict", "a reason code that is text (not empty) or nil", reason)
  elseif rule ~= nil and not is_text(rule) then
    wrong_text_value("verdict", "a rule name that is text (not empty) or nil", rule)
  end
end

function M.check_reason(code)
  if code ~= nil and not is_text(code) then
    wrong_text_value("reason", "a reason code (text, not empty) or nil", code)
  end
end

--- `proxy` is the record that format was given.
function M.check_format(line, proxy)
  local kind = type(line)
  if kind ~= "string" and kind ~= "nil" and (kind ~= "table" or line ~= proxy) then
    wrong_text_value("format", "a line of text, the record or nil", line)
  end
end

return M
