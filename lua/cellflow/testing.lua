-- SPDX-License-Identifier: MIT
-- require("cellflow.testing"): what specs of policies call. Each mistake is told at the spec's line that made it; what
-- is done is testing_policy.lua's, testing_golden.lua's and testing_events.lua's.
local lib = require("cellflow.lib")
local json = require("cellflow.json")
local options = require("cellflow.options")
local suggest = require("cellflow.suggest")
local testing_events = require("cellflow.testing_events")
local testing_golden = require("cellflow.testing_golden")
local testing_policy = require("cellflow.testing_policy")
local testing_replay = require("cellflow.testing_replay")
local wall_time = require("cellflow.wall_time")

local M = {}

--- What the command line said: update (golden files), seed.
M.settings = { update = false, seed = 1 }

-- fn(...), whose mistakes are those of the line that called our caller.
local function told(fn, ...)
  local ok, a, b = pcall(fn, ...)
  if not ok then error(type(a) == "table" and a.wrong or a, 3) end
  return a, b
end

local Policy = {}

for _, name in ipairs({ "decide", "advance", "lost", "stop", "emitted", "counter", "logs", "lines" }) do
  Policy[name] = function(self, ...)
    local a, b = told(self.policy[name], self.policy, ...)
    return a, b
  end
end

local function compare(path, lines)
  local wrong = testing_golden.compare(path, lines, M.settings.update)
  if wrong then error({ wrong = wrong }, 0) end
end

--- Compare what a run would write for `events`, without decided_at and error_at, with a file.
function Policy:golden(path, events)
  local policy = self.policy
  told(function()
    local lines = policy:lines(events)
    for i, line in ipairs(lines) do lines[i] = testing_golden.without_places(line) end
    compare(path, lines)
  end)
end

-- What there is of `methods`, and of nothing else.
local function meta_of(methods, title, text)
  return {
    __index = function(_, name)
      if methods[name] then return methods[name] end
      local names = {}
      for known in pairs(methods) do names[#names + 1] = known end
      table.sort(names)
      error(("%s has no %s%s"):format(title, options.describe(name), suggest.hint(name, names)), 2)
    end,
    __tostring = function() return text end,
  }
end

local meta, replay_meta

--- A recording or capture (FILE, or a list of a recording's parts) through the policy, begun anew with it. `given`:
--- keep, each, cell_net, cell_mac, cell_name, events (see docs/testing-policies.md). Returns what came of it.
function Policy:replay(files, given)
  local replay = told(testing_replay.run, lib, self.policy, files, given)
  return setmetatable({ replay = replay, summary = replay.summary }, replay_meta)
end

local Replay = {}

for _, name in ipairs({ "count", "records", "lines", "counter", "emitted", "logs" }) do
  Replay[name] = function(self, ...) return (told(self.replay[name], self.replay, ...)) end
end

--- Compare what it wrote, without decided_at and error_at, with a file.
function Replay:golden(path)
  told(function()
    local lines = self.replay:lines()
    for i, line in ipairs(lines) do lines[i] = testing_golden.without_places(line) end
    compare(path, lines)
  end)
end

meta = meta_of(Policy, "a policy under test", "tested policy")
replay_meta = meta_of(Replay, "a replay", "replay")

local function any_table(value)
  if type(value) == "table" then return value end
  return nil, "must be a table, got " .. options.describe(value)
end

local LOAD = { args = any_table, time = wall_time.parse }

local function load_policy(path, given)
  if type(path) ~= "string" then
    error({ wrong = "load takes the path of a policy, got " .. options.describe(path) }, 0)
  end
  given = options.check("load", given or {}, LOAD)
  local policy = testing_policy.load(lib, path, given.args or {}, given.time)
  policy.args = given.args
  return policy
end

--- The policy in a file, ready to decide. `given`: args (what -a says: name -> value), time (when it begins, as records
--- or numbers say it; otherwise always the same moment of 2026).
function M.load(path, given)
  local policy = told(load_policy, path, given)
  return setmetatable({ policy = policy }, meta)
end

local encoder

--- Compare lines (text, or tables to be written as JSON) with a file.
function M.golden(path, lines)
  told(function()
    encoder = encoder or json.new(lib, {})
    local texts = {}
    for i, line in ipairs(lines) do texts[i] = type(line) == "table" and encoder.encode(line) or tostring(line) end
    compare(path, texts)
  end)
end

local whole = options.integer(1, 2 ^ 31 - 1)
local EVENTS = { seed = whole, count = whole }

--- An iterator over `count` events (default: 1000) for decide: valid, and as nasty as they come.
function M.events(given)
  given = told(options.check, "events", given or {}, EVENTS)
  return testing_events.new(given.seed or M.settings.seed, given.count or 1000)
end

--- Nothing of the policies that were loaded is in charge any more: for a process that goes on with something else.
function M.release()
  testing_policy.forget()
  lib.cf_testing_release()
end

return M
