-- SPDX-License-Identifier: MIT
-- What came of a recording that went through a policy under test, and what specs can ask of it. Raises texts without a
-- place; whose line they stand at is testing.lua's.
local options = require("cellflow.options")
local record = require("cellflow.record")
local suggest = require("cellflow.suggest")
local testing_policy = require("cellflow.testing_policy")

local M = {}
local Replay = {}
Replay.__index = Replay

local function fail(text, ...) error({ wrong = text:format(...) }, 0) end

-- Of less than everything nothing is told: it would look like an answer.
local function check_kept(there, most, what)
  if there <= most then return end
  fail("the replay made %d %s, and %d are kept: give it { keep = %d }, or a function as `each`", there, what, most,
    there)
end

local function matches(value, wanted)
  if type(wanted) ~= "table" then return value == wanted or (wanted == false and value == nil) end
  for _, one in ipairs(wanted) do
    if value == one then return true end
  end
  return false
end

local is_member = {}
for _, name in ipairs(record.members) do is_member[name] = true end

-- A name that no record has is a mistake, unless `format` could have given it to one.
local function check_names(given, known)
  for name in pairs(given) do
    if not known[name] then
      fail("a record has no field %s%s", options.describe(name), suggest.hint(name, record.members))
    end
  end
end

--- The records as tables, in their order; with `given` those whose fields are as it says: a value, a list of values
--- one of which it is, or false for a field that is absent.
function Replay:records(given)
  check_kept(self.summary.records, self.keep, "records")
  if type(given) ~= "table" and given ~= nil then
    fail("records are chosen by a table of fields, got %s", options.describe(given))
  end
  local list, known = {}, setmetatable({}, { __index = is_member })
  for _, line in ipairs(self.kept) do
    local one, is_one = testing_policy.decoded(line), true
    for name in pairs(one) do known[name] = true end
    for name, wanted in pairs(given or {}) do is_one = is_one and matches(one[name], wanted) end
    if is_one then list[#list + 1] = one end
  end
  check_names(given or {}, known)
  return list
end

--- How many of them there are.
function Replay:count(given) return given == nil and self.summary.records or #self:records(given) end

--- All lines that it wrote, in their order, those of `emit` among them.
function Replay:lines()
  check_kept(self.line_count, self.keep, "lines")
  local list = {}
  for i, line in ipairs(self.kept_lines) do list[i] = line end
  return list
end

--- As of a policy under test.
function Replay:emitted()
  check_kept(self.summary.emitted, self.keep_said, "emitted lines")
  return self.policy:emitted()
end

function Replay:counter(name, label) return self.policy:counter(name, label) end
function Replay:logs()
  check_kept(self.log_count, self.keep_said, "log lines")
  return self.policy:logs()
end

--- A replay of nothing yet: what `parts` has, and for testing_replay.lua to fill policy, kept (records as JSON),
--- kept_lines, line_count and log_count.
function M.new(parts)
  parts.policy, parts.kept, parts.kept_lines, parts.line_count, parts.log_count = false, {}, {}, 0, 0
  return setmetatable(parts, Replay)
end

return M
