-- SPDX-License-Identifier: MIT
-- Which fields of events a function read while `check` tried it, and whether one of them was never there: a handler of
-- "opened" that asks for close_reason never gets one. It listens at the getters, for as long as it is open.
local event = require("cellflow.event")
local place = require("cellflow.place")

local M = {}

local function kept_read(self, name, value)
  local key = self.now .. "\0" .. name
  local read = self.reads[key]
  if not read then
    read = { by = self.now, field = name, place = place.here(), there = false }
    self.reads[key], self.list[#self.list + 1] = read, read
  end
  if value ~= nil then read.there = true end
end

--- { open(), close(), begin(who), finish(), warnings() }: between begin and finish it is `who` that reads.
function M.new()
  local self = { now = nil, reads = {}, list = {}, getters = {} }
  local reads = {}
  function reads.open()
    for name, getter in pairs(event.get) do self.getters[name] = getter end
    for name, getter in pairs(self.getters) do
      event.get[name] = function(e)
        local value = getter(e)
        if self.now then kept_read(self, name, value) end
        return value
      end
    end
  end
  function reads.close()
    for name, getter in pairs(self.getters) do event.get[name] = getter end
  end
  function reads.begin(who) self.now = who end
  function reads.finish() self.now = nil end
  function reads.warnings()
    local lines = {}
    for _, read in ipairs(self.list) do
      -- Without a place it was the runtime itself, as for ev:copy().
      if not read.there and read.place then
        lines[#lines + 1] = ("%s: %s reads %s, which is absent from every event that it is called for here"):format(
          read.place, read.by, read.field)
      end
    end
    return lines
  end
  return reads
end

return M
