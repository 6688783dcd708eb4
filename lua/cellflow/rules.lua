-- SPDX-License-Identifier: MIT
-- The words allow, deny and default: reads what they are given into a list of rules in the order written. What a rule
-- does to an event is ruleset.lua's business.
local ffi = require("ffi")
local match = require("cellflow.match")
local options = require("cellflow.options")
local place = require("cellflow.place")

local M = {}

M.RULES_MAX = 32768 -- what the three levels of class_sets.lua can hold

local DECISIONS = { allow = "allow", deny = "deny" }

local function check_reason(title, reason)
  if reason == nil then return end
  local text, wrong = options.text(ffi.C.CF_TEXT_LEN)(reason)
  if not text then place.raise(("%s: reason %s"):format(title, wrong)) end
end

local function add_rule(self, decision, name, given)
  local title = ('%s "%s"'):format(decision, name)
  local match_of_it = self.reader.read(title, given)
  check_reason(title, given.reason)
  local earlier = self.by_name[name]
  if earlier then
    place.raise(('%s is declared twice; the first is %s "%s" at %s'):format(title, earlier.decision, name,
      earlier.place))
  elseif #self.list >= M.RULES_MAX then
    place.raise(("%s is one too many; a policy holds %d rules"):format(title, M.RULES_MAX))
  end
  local rule = { name = name, decision = decision, reason = given.reason or "policy_" .. decision,
    place = place.here() or "?", match = match_of_it }
  self.by_name[name], self.list[#self.list + 1] = rule, rule
end

local function set_default(self, given)
  given = options.check("default", given, self.default_options)
  if not given.decision then
    place.raise('default must say what it decides: default { decision = "deny" }')
  elseif self.declared.default then
    place.raise("default is declared twice; the first is at " .. self.declared.default.place)
  end
  self.declared.default = { decision = given.decision, reason = given.reason or "default_" .. given.decision,
    place = place.here() or "?", name = false }
end

--- { allow =, deny = (functions of name and table), default = (function of a table), declared = }. `declared` fills
--- up while the file is read: list (rules: name, decision, reason, place, match as of match.lua) and default (the same
--- without name and match; nil when there is none).
function M.new(core)
  local self = { reader = match.new(core, { "reason" }), by_name = {}, list = {} }
  self.declared = { list = self.list, default = nil }
  self.default_options = { decision = options.choice(DECISIONS), reason = options.text(ffi.C.CF_TEXT_LEN) }
  return {
    allow = function(name, given) add_rule(self, "allow", name, given) end,
    deny = function(name, given) add_rule(self, "deny", name, given) end,
    default = function(given) set_default(self, given) end,
    declared = self.declared,
  }
end

return M
