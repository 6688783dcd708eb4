-- SPDX-License-Identifier: MIT
-- The words beside cells and outputs, joined: on, every, include, limits, flows, emit, counter, window. Each has a
-- module of its own; here is only what they share while one policy is read and in force.
local clock = require("cellflow.clock")
local counter = require("cellflow.counter")
local extra = require("cellflow.extra")
local flows = require("cellflow.flows")
local handlers = require("cellflow.handlers")
local include = require("cellflow.include")
local limits = require("cellflow.limits")
local moments = require("cellflow.moments")
local on_match = require("cellflow.on_match")
local place = require("cellflow.place")
local sandbox = require("cellflow.sandbox")
local timers = require("cellflow.timers")
local window = require("cellflow.window")

local M = {}

local function while_read(phase, name, word)
  return function(...)
    if not phase.reading then place.raise(name .. "() may only be used while the file is read") end
    return word(...)
  end
end

--- `parts`: encoder (of json.lua), file (the policy's name), read_include (path -> text, or nil and why not). Returns:
---   words              for the environment
---   open(env)          before the policy is read
---   close()            when it was read: completes the plan, ends the time for declaring
---   handlers, clock, timers   for dispatch and check
---   moment(faults, progress)  once events can be decided: the function of moments.lua
---   later              gets record and write_record
function M.new(core, plan, parts)
  local phase, later = { reading = true }, { record = false, write_record = false }
  local time, all, every = clock.new(), handlers.new(on_match.new(core)), timers.new()
  local includes, bounds = include.new(parts.file, parts.read_include), limits.new(plan, phase)
  local lifetimes = flows.new(plan)
  local counters, name_counters = counter.new(core, phase)
  local self = { handlers = all, clock = time, timers = every, later = later, open = includes.open }
  self.words = {
    on = while_read(phase, "on", all.on), every = while_read(phase, "every", every.every),
    include = includes.include, limits = bounds.limits, counter = counters,
    flows = while_read(phase, "flows", lifetimes.flows),
    emit = extra.new(core, phase, parts.encoder, later),
    window = window.new(core, phase, time, sandbox.strict),
  }
  function self.close()
    includes.close()
    bounds.close()
    lifetimes.close()
    for _, entry in ipairs(all.list) do
      if entry.kind == "lost" then plan.limits.wants_lost = 1 end
    end
    phase.reading = false
  end
  function self.moment(faults, progress)
    return moments.new(core, { handlers = all, timers = every, clock = time, faults = faults, progress = progress,
      ready = name_counters })
  end
  return self
end

return M
