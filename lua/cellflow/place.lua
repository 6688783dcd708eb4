-- SPDX-License-Identifier: MIT
-- Where in the operator's files something stands: "cellflow.lua:14". Only chunks registered here count, so an error
-- that surfaces inside the runtime is still reported at the line of the policy that caused it.
local getinfo = debug.getinfo

local M = {}

local FILE_MAX = 112 -- with ":" and a line number it fits CF_PLACE_LEN
local DEPTH_MAX = 200
local TEXT_MAX = 2048 -- bytes of an error's text; a log line is not much longer
local files = {} -- a chunk's source -> the name that people see

--- Make a file known; returns the chunk name to load it under.
function M.register(file)
  local source = "@" .. file
  files[source] = #file <= FILE_MAX and file or "..." .. file:sub(3 - FILE_MAX)
  return source
end

local function of_info(info)
  local file = files[info.source]
  if file and info.currentline and info.currentline > 0 then
    return file .. ":" .. info.currentline
  end
end

--- The innermost policy line that is running, and its frame; nil when none is (a tail call leaves no trace).
function M.here()
  for level = 2, DEPTH_MAX do
    local info = getinfo(level, "Sl")
    if not info then return nil end
    local place = of_info(info)
    if place then return place, info end
  end
end

--- The place that an `info` of debug.getinfo or jit.util.funcinfo tells; nil when not in a policy.
M.of_line = of_info

--- Where a function is defined; nil when not in a policy.
function M.of_function(fn)
  local info = getinfo(fn, "S")
  local file = files[info.source]
  return file and file .. ":" .. info.linedefined
end

--- The policy's lines on the stack, innermost first, on one line.
function M.traceback()
  local lines = {}
  for level = 2, DEPTH_MAX do
    local info = getinfo(level, "Sln")
    if not info or #lines == 10 then break end
    local place = of_info(info)
    if place then
      -- "hook" is what the runtime calls all four.
      local named = info.name and info.name ~= "hook"
      lines[#lines + 1] = named and ("%s (%s)"):format(place, info.name) or place
    end
  end
  return table.concat(lines, " < ")
end

--- A long text cut, on one line. Cut first: over a megabyte of blanks the pattern would take minutes.
function M.line(text)
  if #text > TEXT_MAX then text = text:sub(1, TEXT_MAX) .. "..." end
  return (text:gsub("%s*\n%s*", " | "))
end

--- An error's text on one line, without the "file:line: " that Lua put in front of it.
function M.text(err, info)
  local text = type(err) == "string" and err or ("error object is a %s value"):format(type(err))
  local prefix = info and ("%s:%d: "):format(info.short_src, info.currentline) or ""
  if text:sub(1, #prefix) == prefix then
    text = text:sub(#prefix + 1)
  end
  -- A function that was tail-called is blamed on the runtime's line that called the hook, which helps nobody.
  text = text:gsub("^%.?/?lua/cellflow/[%w_]+%.lua:%d+: ", "", 1)
  return M.line(text)
end

--- Whether `text` begins with a place of its own, as a syntax error in an included file does.
function M.begins(text)
  local file = text:match("^(.-):%d+: ")
  return file ~= nil and files["@" .. file] ~= nil
end

--- Raise `text` at the policy's line.
function M.raise(text)
  local place = M.here()
  return error(place and place .. ": " .. text or text, 0)
end

return M
