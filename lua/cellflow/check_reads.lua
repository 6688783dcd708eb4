-- SPDX-License-Identifier: MIT
-- Which fields of events a function read while `check` tried it, and whether one of them was never there: a handler of
-- "opened" that asks for close_reason never gets one, nor does anybody where no cell asks for the end of flows. It
-- listens at the getters, for as long as it is open.
local event = require("cellflow.event")
local place = require("cellflow.place")

local M = {}

local function kept_read(self, name, value, e)
  local key = self.now .. "\0" .. name
  local read = self.reads[key]
  if not read then
    read = { by = self.now, field = name, place = place.here(), there = false, kinds = {} }
    self.reads[key], self.list[#self.list + 1] = read, read
  end
  if value ~= nil then
    local kind = self.getters.kind(e)
    read.there = true
    if kind then read.kinds[kind] = true end
  end
end

--- { open(), close(), begin(who), finish(), warnings() }: between begin and finish it is `who` that reads.
function M.new()
  local self = { now = nil, reads = {}, list = {}, getters = {}, copy = nil }
  local reads = {}
  function reads.open()
    for name, getter in pairs(event.get) do self.getters[name] = getter end
    for name, getter in pairs(self.getters) do
      event.get[name] = function(e)
        local value = getter(e)
        if self.now then kept_read(self, name, value, e) end
        return value
      end
    end
    self.copy = event.copy -- reads every field, and means none
    event.copy = function(e)
      local who = self.now
      self.now = nil
      local copy = self.copy(e)
      self.now = who
      return copy
    end
  end
  function reads.close()
    for name, getter in pairs(self.getters) do event.get[name] = getter end
    event.copy = self.copy
  end
  function reads.begin(who) self.now = who end
  function reads.finish() self.now = nil end
  --- `kinds` as of check_kinds.lua.
  function reads.warnings(kinds)
    local lines = {}
    for _, read in ipairs(self.list) do
      local missing = read.there and not kinds.is_silent(read.by) and kinds.missing(read.kinds)
      -- Without a place it was the runtime itself.
      if read.place and (missing or not read.there) then
        lines[#lines + 1] = ("%s: %s reads %s, which %s"):format(read.place, read.by, read.field,
          missing and "is never there: " .. missing or "no event that comes here has")
      end
    end
    return lines
  end
  return reads
end

return M
