-- SPDX-License-Identifier: MIT
-- The findings of `cellflow check`, for people (log lines) and for editors (one JSON object). Finds nothing itself.
local ffi = require("ffi")
local json = require("cellflow.json")
local watching = require("cellflow.watching")

local C = ffi.C
local M = {}

-- "file:line: text" -> its parts; what names no line is about the policy file as a whole.
local function finding(level, line, file, order)
  local where, number, text = line:match("^(.-):(%d+): (.*)$")
  return { level = level, file = where or file, line = tonumber(number), text = text or line, said = line,
    order = order }
end

local function comes_first(a, b)
  if a.level ~= b.level then return a.level == "error" end
  if a.file ~= b.file then return a.file < b.file end
  if a.line ~= b.line then return (a.line or 0) < (b.line or 0) end
  return a.order < b.order
end

--- { file =, errors =, warnings = (counts), findings = (list, errors first, by file and line), code = exit code }.
--- `strict`: warnings are errors.
function M.new(file, errors, warnings, strict)
  local report = { file = file, errors = #errors, warnings = #warnings, findings = {} }
  for i, line in ipairs(errors) do report.findings[i] = finding("error", line, file, i) end
  for i, line in ipairs(warnings) do
    report.findings[#errors + i] = finding(strict and "error" or "warning", line, file, #errors + i)
  end
  if strict then report.errors, report.warnings = #errors + #warnings, 0 end
  table.sort(report.findings, comes_first)
  report.code = report.errors > 0 and 3 or 0
  return report
end

function M.log(core, report)
  for _, each in ipairs(report.findings) do
    core.cf_log_text(each.level == "error" and C.CF_LOG_ERROR or C.CF_LOG_WARN, each.said, #each.said)
  end
end

--- How many errors there are, or nil.
function M.summary(report)
  if report.errors == 0 then return nil end
  return ("%s: %d finding%s"):format(report.file, report.errors, report.errors == 1 and "" or "s")
end

local function text_of(chars)
  if chars[0] ~= 0 then return ffi.string(chars) end
end

local function hooks_of(bits)
  local hooks = {}
  if bits % 2 == 1 then hooks[1] = "egress" end
  if bits >= 2 then hooks[#hooks + 1] = "ingress" end
  return hooks
end

local function plan_of(plan, setup)
  local out = { cells = {}, outputs = {}, rules = #setup.rules.list, handlers = #setup.handlers.list }
  for i = 0, plan.cell_count - 1 do
    local cell = plan.cells[i]
    out.cells[i + 1] = { name = text_of(cell.name), pid = cell.pid ~= 0 and cell.pid or nil,
      netns = text_of(cell.netns), interface = text_of(cell.interface), hooks = hooks_of(cell.hooks),
      sources = watching.source_words(cell.sources), events = watching.event_words(cell.events),
      attach = watching.stand_words(cell.stand) }
  end
  for i = 0, plan.output_count - 1 do
    local output = plan.outputs[i]
    local path = output.kind == C.CF_OUTPUT_STDOUT and "-" or text_of(output.path)
    out.outputs[i + 1] = { path = output.kind == C.CF_OUTPUT_UNIX and "unix:" .. path or path }
  end
  return out
end

--- One line. `plan` and `setup` are absent when the policy did not load.
function M.json(core, report, plan, setup)
  local empty_list, plain = {}, {}
  plain[empty_list] = { json = function() return "[]" end }
  local findings = {}
  for i, each in ipairs(report.findings) do
    findings[i] = { level = each.level, file = each.file, line = each.line, text = each.text }
  end
  local out = { file = report.file, ok = report.code == 0, errors = report.errors, warnings = report.warnings,
    findings = #findings > 0 and findings or empty_list, plan = plan and setup and plan_of(plan, setup) }
  if out.plan then
    for _, name in ipairs({ "cells", "outputs" }) do
      if #out.plan[name] == 0 then out.plan[name] = empty_list end
    end
  end
  return json.new(core, plain).encode(out) .. "\n"
end

return M
