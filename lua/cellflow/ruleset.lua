-- SPDX-License-Identifier: MIT
-- The rules of a policy in force: which one each event of a batch meets, and what it decides. dispatch.lua asks for
-- the whole batch before the first event is taken, and looks the answers up; a rule's answer depends on the event only,
-- so the order of the steps is the same as if it were asked in its turn.
local ffi = require("ffi")
local compiler = require("cellflow.compiler")
local rule_index = require("cellflow.rule_index")

local C = ffi.C
local M = {}

local function fill(decision, rule, intern)
  decision.decision = rule.decision == "deny" and C.CF_DENY or C.CF_ALLOW
  decision.reason, decision.place = intern(rule.reason), intern(rule.place)
  decision.rule = intern(rule.name)
end

-- Without hooks a rule's decision is the same for all its events, so it is made once, unless its texts had to take
-- ids that others share: such an id is good for one event only.
local function kept_decisions(rules, intern, is_shared)
  local decisions, shared = ffi.new("struct cf_decision[?]", #rules + 1), ffi.new("uint8_t[?]", #rules + 1)
  for i, rule in ipairs(rules) do
    local d = decisions[i]
    fill(d, rule, intern)
    if is_shared(d.reason) ~= 0 or is_shared(d.place) ~= 0 or is_shared(d.rule) ~= 0 then shared[i] = 1 end
  end
  return decisions, shared
end

local function no_rules(default)
  return { list = {}, default = default, decided = ffi.new("int32_t[?]", C.CF_BATCH_MAX + 1), decide = function() end,
    bind = function() end, any = default ~= nil }
end

--- `declared` of rules.lua, in force:
---   any                          false: neither a rule nor a default, nothing to ask here
---   list                         rules by number: { decision =, reason =, name =, place = }
---   default                      the same without a name, or nil
---   decided                      by index in the batch: number of the rule, 0: none. Filled by decide
---   decide(events, handles, count)
---   bind(cells)                  to be called before decide, and whenever the cells changed
function M.new(declared)
  local list = declared.list
  if #list == 0 then return no_rules(declared.default) end
  local self = no_rules(declared.default)
  local index, decided = rule_index.new(list), self.decided
  self.list, self.index, self.bind, self.any = list, index, index.bind, true
  self.decide = compiler.once(function(events, handles, count) index.run(events, handles, count, decided) end)
  return self
end

--- A function that takes the event at state.index, of a policy without hooks. `at` is dispatch's own: state, raws,
--- core, intern, default_mapping.
function M.taker(self, at)
  local state, raws, intern = at.state, at.raws, at.intern
  local record_write, mapping, default = at.core.cf_record_write, at.default_mapping, self.default
  local list, decided = self.list, self.decided
  local decisions, shared = kept_decisions(list, intern, at.core.cf_intern_is_shared)
  local open = { decision = false, reason = false, place = false, name = false }
  return function()
    local index = state.index
    local raw, number = raws[index], decided[index]
    if number > 0 then
      if shared[number] ~= 0 then fill(decisions[number], list[number], intern) end
    elseif default then
      fill(decisions[0], default, intern)
    else
      open.decision, open.reason = mapping(raw)
      fill(decisions[0], open, intern)
    end
    state.index = index + 1
    record_write(raw, decisions + number)
  end
end

return M
