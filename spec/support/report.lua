-- SPDX-License-Identifier: MIT
--
-- busted output handler: a line for each spec file, failures and skips in full at once. When CELLFLOW_REPORT names
-- a file, one word for each test goes there as it ends, and "end" after the last, so that the counts survive a crash
-- and nothing that a spec prints can be mistaken for them.
local busted = require("busted")

local SLOW_SECONDS = 5

return function()
  local handler = {}
  local file, message
  local report = os.getenv("CELLFLOW_REPORT") and assert(io.open(os.getenv("CELLFLOW_REPORT"), "a"))

  local function say(text)
    io.stdout:write(text, "\n")
    io.stdout:flush()
  end

  local function count(outcome)
    if file then file[outcome] = file[outcome] + 1 end
    if report then
      report:write(outcome, "\n")
      report:flush()
    end
  end

  local function full_name(element)
    if element.descriptor == "file" then return element.name end
    local names = {}
    while element and element.descriptor ~= "file" and (element.name or element.descriptor) do
      table.insert(names, 1, element.name or element.descriptor)
      element = busted.parent(element)
    end
    return table.concat(names, " ")
  end

  local function place(element, trace)
    trace = trace and trace.short_src and trace or element.trace
    return trace and trace.short_src and ("%s:%d: "):format(trace.short_src, trace.currentline) or ""
  end

  local function failed(element, what, trace)
    count("failed")
    say(("  FAILED %s%s\n    %s"):format(place(element, trace), full_name(element),
      tostring(what or "no message"):gsub("\n", "\n    ")))
  end

  local function skipped(element, why)
    count("skipped")
    say(("  skipped %s%s"):format(full_name(element), why and ": " .. tostring(why) or ""))
  end

  local function is_test(element) return element.descriptor == "it" or element.descriptor == "pending" end

  -- Of a test, only its end is counted; what fails or skips outside of one (a file, a before_each) is counted here.
  local function on_trouble(element, _, what, trace)
    if is_test(element) then
      message = message or { what = what, trace = trace }
    else
      failed(element, what, trace)
    end
    return nil, true
  end

  local function on_pending(element, _, why)
    if is_test(element) then
      message = { what = why }
    else
      skipped(element, why)
    end
    return nil, true
  end

  local function on_test_end(element, _, status)
    local said = message or {}
    message = nil
    if status == "success" then
      count("passed")
    elseif status == "pending" then
      skipped(element, said.what)
    else
      failed(element, said.what, said.trace)
    end
    return nil, true
  end

  local function on_file_end(element)
    local words = {}
    for _, outcome in ipairs({ "passed", "failed", "skipped" }) do
      if file[outcome] > 0 then table.insert(words, file[outcome] .. " " .. outcome) end
    end
    -- A file without a test is a mistake: misspelt, or cut short.
    if #words == 0 then failed(element, "no test in this file") end
    local slow = (element.duration or 0) > SLOW_SECONDS and (" (%.1f s)"):format(element.duration) or ""
    say(("%s: %s%s"):format(element.name, #words > 0 and table.concat(words, ", ") or "nothing", slow))
    file = nil
    return nil, true
  end

  function handler.subscribe()
    busted.subscribe({ "suite", "end" }, function()
      if report then
        report:write("end\n")
        report:flush()
      end
      return nil, true
    end)
    busted.subscribe({ "file", "start" }, function()
      file = { passed = 0, failed = 0, skipped = 0 }
      return nil, true
    end)
    busted.subscribe({ "file", "end" }, on_file_end)
    busted.subscribe({ "test", "start" }, function()
      message = nil
      return nil, true
    end)
    busted.subscribe({ "test", "end" }, on_test_end)
    busted.subscribe({ "pending" }, on_pending)
    busted.subscribe({ "failure" }, on_trouble)
    busted.subscribe({ "error" }, on_trouble)
  end

  return handler
end
