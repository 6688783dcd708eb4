-- SPDX-License-Identifier: MIT
-- log.debug, .info, .warn, .error and print for policies: one line each through core, which escapes control bytes.
local ffi = require("ffi")
local place = require("cellflow.place")

local M = {}

local PRINT_MAX = 8

-- No table of the arguments and no concat over them: `{...}` cannot be compiled, and one print in a rare branch would
-- put the whole batch loop back into the interpreter.
local function joiner(core, level)
  local log_text, tostring, select = core.cf_log_text, tostring, select
  return function(...)
    local count = select("#", ...)
    if count > PRINT_MAX then
      place.raise(("print takes at most %d values"):format(PRINT_MAX))
    end
    local a, b, c, d, e, f, g, h = ...
    local text = count > 0 and tostring(a) or ""
    if count > 1 then text = text .. "\t" .. tostring(b) end
    if count > 2 then text = text .. "\t" .. tostring(c) end
    if count > 3 then text = text .. "\t" .. tostring(d) end
    if count > 4 then text = text .. "\t" .. tostring(e) end
    if count > 5 then text = text .. "\t" .. tostring(f) end
    if count > 6 then text = text .. "\t" .. tostring(g) end
    if count > 7 then text = text .. "\t" .. tostring(h) end
    log_text(level, text, #text)
  end
end

local function writer(core, level)
  local log_text = core.cf_log_text
  return function(text)
    text = tostring(text)
    log_text(level, text, #text)
  end
end

--- { debug=, info=, warn=, error=, print= } over core.
function M.new(core)
  local C = ffi.C
  return {
    debug = writer(core, C.CF_LOG_DEBUG), info = writer(core, C.CF_LOG_INFO),
    warn = writer(core, C.CF_LOG_WARN), error = writer(core, C.CF_LOG_ERROR),
    print = joiner(core, C.CF_LOG_INFO),
  }
end

return M
