-- SPDX-License-Identifier: MIT
-- on(kind, [match,] fn): functions that are told of events and moments and answer nothing. What runs for an event is
-- generated from what was declared, so a kind without a handler costs nothing and the compiler sees a straight line.
-- Who calls it when is dispatch's (events, decisions) and moments.lua's (start, stop, lost).
local ffi = require("ffi")
local options = require("cellflow.options")
local place = require("cellflow.place")
local progress_of = require("cellflow.progress")
local suggest = require("cellflow.suggest")

local C = ffi.C
local M = {}

M.HANDLERS_MAX = 64 -- all of them are one trace; far fewer instructions than it may have
M.QUARANTINE_AFTER = 1000 -- failures in a row

local EVENT_KINDS = { opened = C.CF_KIND_OPENED, updated = C.CF_KIND_UPDATED, closed = C.CF_KIND_CLOSED,
  logged = C.CF_KIND_LOGGED }
M.KINDS = { "opened", "updated", "closed", "logged", "decision", "lost", "start", "stop" }
local is_kind, is_moment = {}, { lost = true, start = true, stop = true }
for _, kind in ipairs(M.KINDS) do is_kind[kind] = true end

local function check(kind, match, fn)
  if type(kind) ~= "string" or not is_kind[kind] then
    place.raise(("on: there is no kind %s%s; the kinds are %s"):format(options.describe(kind),
      suggest.hint(kind, M.KINDS), table.concat(M.KINDS, ", ")))
  end
  local title = ('on "%s"'):format(kind)
  if match ~= nil and type(match) ~= "table" then
    place.raise(("%s takes a function, or a match table and a function; got %s"):format(title,
      options.describe(match)))
  elseif type(fn) ~= "function" then
    place.raise(("%s takes a function, got %s"):format(title, options.describe(fn)))
  elseif match and is_moment[kind] then
    place.raise(title .. " has no event that a match table could match")
  end
  return title
end

-- One handler's part of the line. `state.at` is noted before anything of the policy runs: after an error the line is
-- entered again, and goes on behind it.
local function step(entry, argument)
  return ([[
    if from < %d then
      local hook = fns[%d]
      if hook%s then
        state.at = %d
        hook(%s)
        failures[%d] = 0
      end
    end]]):format(entry.id, entry.id, entry.match and (" and matches[%d](raw)"):format(entry.id) or "", entry.id,
    argument, entry.id)
end

local function compile(self, state, parameters, body)
  local text = "local state, fns, matches, failures = ...\nreturn function(%s)\nlocal from = state.at\n%s\nend"
  text = text:format(parameters, table.concat(body, "\n"))
  return assert(load(text, "=handlers"))(state, self.fns, self.matches, self.failures)
end

-- function(raw, ev) for handlers of events, or false.
local function observer(self, state)
  local body = {}
  for _, kind in ipairs(M.KINDS) do
    local steps = {}
    for _, entry in ipairs(self.list) do
      if entry.kind == kind and EVENT_KINDS[kind] then steps[#steps + 1] = step(entry, "ev") end
    end
    if #steps > 0 then
      body[#body + 1] = ("  if raw.kind == %d then\n%s\n  end"):format(EVENT_KINDS[kind], table.concat(steps, "\n"))
    end
  end
  return #body > 0 and compile(self, state, "raw, ev", body)
end

-- function(raw, record) for handlers of decisions, or false.
local function decider(self, state)
  local body = {}
  for _, entry in ipairs(self.list) do
    if entry.kind == "decision" then body[#body + 1] = step(entry, "record") end
  end
  return #body > 0 and compile(self, state, "raw, record", body)
end

local function add(self, kind, match, fn)
  local title = check(kind, match, fn)
  if #self.list == M.HANDLERS_MAX then
    place.raise(("%s is one too many; there can be %d handlers"):format(title, M.HANDLERS_MAX))
  end
  local id = #self.list + 1
  local entry = { id = id, kind = kind, number = EVENT_KINDS[kind], fn = fn, title = title,
    place = place.of_function(fn) or place.here() or "?" }
  if match then entry.match, entry.conditions = self.compile_match(match, title) end
  self.list[id], self.fns[id], self.matches[id] = entry, fn, entry.match or false
end

--- The handlers of one policy. compile_match(table, title) -> function(raw) -> boolean. Returns:
---   on           the word
---   fns          by id; false: switched off
---   list         { id=, kind=, number=, fn=, match=, conditions=, title=, place= } in the order written
---   observer(state), decider(state)  what dispatch calls for an event and its decision, or false
---   failed(id, faults)               account for an error, after settle; may end the handler for good
function M.new(compile_match)
  local self = { list = {}, fns = {}, matches = {}, compile_match = compile_match,
    failures = ffi.new("int32_t[?]", M.HANDLERS_MAX + 1) }
  local handlers = { list = self.list, fns = self.fns }
  function handlers.on(kind, match, fn)
    if fn == nil and type(match) == "function" then match, fn = nil, match end
    add(self, kind, match, fn)
  end
  function handlers.observer(state) return observer(self, state) end
  function handlers.decider(state) return decider(self, state) end
  function handlers.fn(id) return self.fns[id] end
  --- Tell what the handlers are called, and leave out those over which an earlier worker hung.
  function handlers.bind(progress)
    for _, entry in ipairs(self.list) do
      local number = progress_of.of_handler(entry.id)
      progress.name(number, ("%s at %s"):format(entry.title, entry.place))
      if progress.is_off(number) then self.fns[entry.id] = false end
    end
  end
  function handlers.succeeded(id) self.failures[id] = 0 end
  function handlers.failed(id, faults)
    self.failures[id] = self.failures[id] + 1
    if self.failures[id] >= M.QUARANTINE_AFTER then
      self.fns[id] = false
      faults.quarantined(self.list[id].title, self.list[id].place, M.QUARANTINE_AFTER)
    end
  end
  return handlers
end

return M
