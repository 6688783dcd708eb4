-- SPDX-License-Identifier: MIT
-- What verbs of one shot ask a runtime (host.ask): `check` and `explain`. Each answer is a number (0: fine, 1:
-- trouble, 2: asked wrongly, 3: something is wrong with the policy) and a text, or nil. The work is done elsewhere.
local ffi = require("ffi")
local check = require("cellflow.check")
local check_report = require("cellflow.check_report")
local explain = require("cellflow.explain")
local explain_text = require("cellflow.explain_text")
local given_event = require("cellflow.given_event")
local last_words = require("cellflow.last_words")
local observed_core = require("cellflow.observed_core")
local sandbox = require("cellflow.sandbox")
local wall_time = require("cellflow.wall_time")

local M = {}

--- The core that a runtime of that purpose has, and what sets its listener.
function M.prepare(core, purpose)
  sandbox.compiled = purpose == "check" and {} or nil
  if purpose == "explain" then return observed_core.new(core) end
  return core
end

--- Where a policy's own log lines go: for `check` nowhere while its functions are tried, as nothing happened.
--- `state`: host.lua's.
function M.log_core(core, purpose, state)
  if purpose ~= "check" then return core end
  return { cf_log_text = function(level, text, len)
    if not state.is_trying then core.cf_log_text(level, text, len) end
  end }
end

--- The faults that a runtime of that purpose has.
function M.counted(faults, purpose)
  return purpose == "explain" and explain.counted(faults) or faults
end

function M.check(self, guard) return check.run(self, sandbox.compiled, guard) end

--- The runtime's state itself, for testing_policy.lua.
function M.state(self) return self end

-- Netstrings: texts may hold any byte but NUL.
local function packed(out, ...)
  for _, text in ipairs({ ... }) do out[#out + 1] = ("%d:%s"):format(#text, text) end
end

--- The rules in their order: decision, name and place of each as "LENGTH:TEXT"; last the default, whose name is empty.
function M.rules(self)
  local out, rules = {}, self.setup.rules
  for _, rule in ipairs(rules.list) do packed(out, rule.decision, rule.name, rule.place) end
  if rules.default then packed(out, rules.default.decision, "", rules.default.place) end
  return 0, table.concat(out)
end

-- What check says when a function does not come back: that, and what it found until then.
local function check_guard(core, file, as_json)
  local found, texts = nil, {}
  local function say(line)
    local key = ("%s\n%d"):format(line, #found) -- thousands of calls, and the same text for most
    if not texts[key] then
      local lines = { unpack(found, 1, 100) }
      lines[#lines + 1] = line
      local report, out = check_report.new(file, lines, {}, false), {}
      for i, each in ipairs(report.findings) do out[i] = last_words.log_line(each.said) end
      out[#out + 1] = last_words.log_line(check_report.summary(report))
      texts[key] = as_json and check_report.json(core, report) or table.concat(out)
    end
    return texts[key]
  end
  local guard = last_words.new(core, as_json and 1 or 2, 3, say)
  return { finish = guard.finish, begin = function(place, name, lines)
    found = lines
    guard.begin(place, name)
  end }
end

--- texts: file, "json" or "", "strict" or "".
function M.checked(self, plan, texts)
  local errors, warnings = M.check(self, check_guard(self.core, texts[1], texts[2] == "json"))
  local report = check_report.new(texts[1], errors, warnings, texts[3] == "strict")
  if texts[2] == "json" then
    return report.code, check_report.json(self.core, report, plan, self.setup)
  end
  check_report.log(self.core, report)
  return report.code, check_report.summary(report)
end

--- The same in JSON for a policy that did not load. texts: file, what was wrong.
function M.not_loaded(self, _, texts)
  local report = check_report.new(texts[1], { texts[2] }, {}, false)
  return report.code, check_report.json(self.core, report)
end

-- The cell that the command line of `run` would give to a policy without one.
local function add_cell(self, plan)
  local cell = self.core.cf_plan_add_cell(plan)
  cell.name, cell.hooks = "cell", ffi.C.CF_PLAN_EGRESS
  self.cells[0] = { name = "cell", run_id = self.metadata.run_id }
end

--- Read the event to explain into the batch. texts: seconds now, words. The plan's cell may get another interface.
function M.event(self, plan, texts)
  local raw = self.core.cf_batch_get().events + 0
  local words = {}
  if not self.cells[0] then add_cell(self, plan) end
  for i = 2, #texts do words[i - 1] = texts[i] end
  local ok, wrong = pcall(given_event.read, self.core, raw, words, self.cells, wall_time.parse(texts[1]))
  if not ok then
    if type(wrong) == "table" and wrong.usage then return 2, wrong.usage end
    error(wrong, 0)
  end
  plan.cells[raw.cell].interface = self.cells[raw.cell].interface or ""
  return 0
end

--- Decide the event that was read. texts: "json" or "", "all" or "".
function M.explain(self, _, texts)
  local found = explain.run(self, last_words.new(self.core, 2, 1, last_words.log_line))
  local text = texts[1] == "json" and explain_text.json(self.core, found) or
    explain_text.text(found, texts[2] == "all")
  return found.disagreement and 1 or 0, text
end

return M
