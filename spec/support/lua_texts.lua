-- SPDX-License-Identifier: MIT
-- The text literals of Lua source, for specs that compare what the product can say with what specs expect. Comments are
-- left out, literals joined by ".." are one.
local M = {}

local ESCAPES = { n = "\n", t = "\t", r = "\r" }

-- A quoted text that begins at `at` -> text, and where it goes on.
local function quoted(source, at)
  local quote, parts = source:sub(at, at), {}
  at = at + 1
  while source:sub(at, at) ~= quote do
    local char = source:sub(at, at)
    if char == "\\" then
      local digits = source:match("^%d%d?%d?", at + 1)
      char = digits and string.char(tonumber(digits)) or source:sub(at + 1, at + 1)
      at = at + (digits and #digits or 1)
      if not digits then char = ESCAPES[char] or char end
    end
    parts[#parts + 1], at = char, at + 1
  end
  return table.concat(parts), at + 1
end

-- What is at `at`, when it is a comment or a text: "comment" or "text", the text, where it goes on.
local function special(source, at)
  local comment = source:match("^%-%-%[(=*)%[", at) or false
  local level = comment or source:match("^%[(=*)%[", at)
  if level then
    local open = source:match("^[%-]*%[=*%[\n?()", at)
    local close, stop = source:find("]" .. level .. "]", open, true)
    return comment and "comment" or "text", source:sub(open, close - 1), stop + 1
  end
  if source:sub(at, at + 1) == "--" then return "comment", "", source:find("\n", at, true) or #source + 1 end
  if source:match("^[\"']", at) then return "text", quoted(source, at) end
end

--- Calls fn(text, line, before) for each literal: `before` is the code in front of it on its line.
function M.each(source, fn)
  local at, line, code, pending = 1, 1, "", nil
  local function flush()
    if pending then fn(pending.text, pending.line, pending.before) end
    pending = nil
  end
  local gap = ""
  while at <= #source do
    local kind, text, stop = special(source, at)
    if kind == "text" then
      if pending and gap:match("^%s*%.%.%s*$") then
        pending.text = pending.text .. text
      else
        flush()
        pending = { text = text, line = line, before = code }
      end
      gap = ""
    end
    local passed = source:sub(at, (stop or at + 1) - 1)
    if kind ~= "text" then gap = gap .. (kind and "" or passed) end
    local _, lines = passed:gsub("\n", "")
    code = lines > 0 and (kind and "" or passed:match("[^\n]*$")) or code .. (kind and "" or passed)
    line, at = line + lines, stop or at + 1
  end
  flush()
end

function M.read(path)
  local file = assert(io.open(path))
  local source = file:read("*a")
  file:close()
  return source
end

--- Paths that the shell makes of a pattern.
function M.files(pattern)
  local pipe, found = io.popen("ls " .. pattern), {}
  for path in pipe:lines() do found[#found + 1] = path end
  pipe:close()
  return found
end

return M
