-- SPDX-License-Identifier: MIT
-- `local function verdict(ev)`: a function with the name of a hook that is local and that nothing else names, so that
-- neither cellflow nor the policy ever calls it. Looks at the text of a policy, for `cellflow check`; bytecode has no
-- names of locals.
local sandbox = require("cellflow.sandbox")

local M = {}

local function text_end(code, at)
  local quote = code:sub(at, at)
  local stop = at + 1
  while true do
    stop = code:find("[\\\n" .. quote .. "]", stop)
    if not stop then return #code end
    if code:sub(stop, stop) ~= "\\" then return stop end
    stop = stop + 2
  end
end

-- Where the comment or text that begins at `at` ends, or nil when none does.
local function special_end(code, at)
  local level = code:match("^%-%-%[(=*)%[", at) or code:match("^%[(=*)%[", at)
  if level then return select(2, code:find("]" .. level .. "]", at + #level + 2, true)) or #code end
  if code:find("^%-%-", at) then return (code:find("\n", at, true) or #code + 1) - 1 end
  if code:find("^[\"']", at) then return text_end(code, at) end
end

-- The text with comments and texts as blanks; every line and byte stays where it is.
local function bare(code)
  local parts, from, at = {}, 1, code:find("[%-%[\"']")
  while at do
    local stop = special_end(code, at)
    if stop then
      parts[#parts + 1] = code:sub(from, at - 1)
      parts[#parts + 1] = code:sub(at, stop):gsub("[^\n]", " ")
      from = stop + 1
    end
    at = code:find("[%-%[\"']", (stop or at) + 1)
  end
  parts[#parts + 1] = code:sub(from)
  return table.concat(parts)
end

-- What the name does there, and whether as a local: "function", "local" (declared without a value), "written" (a
-- member, a key, something assigned) or "other".
local function role(code, from, after)
  local before = code:sub(math.max(1, from - 40), from - 1)
  if before:find("[^.]%.%s*$") or before:find(":%s*$") then return "written", false end
  if before:find("%f[%w_]function%s+$") then return "function", before:find("%f[%w_]local%s+function%s+$") ~= nil end
  local is_local = before:find("%f[%w_]local%s+$") ~= nil
  if code:find("^%s*=%s*function%f[^%w_]", after) then return "function", is_local end
  if not is_local then return code:find("^%s*=[^=]", after) and "written" or "other", false end
  return code:find("^%s*[=,]", after) and "other" or "local", true
end

-- Where the function of that name stands which nothing names besides; nil when there is none.
local function unused(code, name)
  local at, is_local = nil, false
  for from, after in code:gmatch("%f[%w_]()" .. name .. "()%f[^%w_]") do
    local what, here_local = role(code, from, after)
    if what == "other" then return nil end
    if what == "function" then at = from end
    is_local = is_local or here_local
  end
  return is_local and at or nil
end

--- Warnings "file:line: what" about one file of a policy whose hooks are `hooks`.
function M.warnings(text, file, hooks)
  local lines, code = {}, nil
  for _, name in ipairs(sandbox.HOOKS) do
    if not hooks[name] and text:find(name, 1, true) then
      code = code or bare(text)
      local at = unused(code, name)
      if at then
        local _, line = code:sub(1, at):gsub("\n", "")
        lines[#lines + 1] = ("%s:%d: %s is local, so it is no hook and is never called; write \"function %s\""):format(
          file, line + 1, name, name)
      end
    end
  end
  return lines
end

return M
