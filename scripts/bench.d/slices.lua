-- SPDX-License-Identifier: MIT
-- Comparing on a machine that others use too: every round runs each contestant twice, in one order and then in the
-- other (A B C, C B A), so that what drifts meets all alike. Only ratios of one round are compared; medians over
-- rounds, with the quartiles as spread. A slice from which the hypervisor took time is thrown away and run again.
local system = require("system")

local M = { discarded = 0, kept_stolen = 0 }
local TRIES = 3
local STEAL_FIELD = 8
local TICK = 0.01 -- seconds, USER_HZ

local function steal()
  local file = assert(io.open("/proc/stat"))
  local line, n = file:read("*l"), 0
  file:close()
  for field in line:gmatch("%d+") do
    n = n + 1
    if n == STEAL_FIELD then return tonumber(field) end
  end
  return 0
end

--- { median, low, high (quartiles), count } of a list of numbers.
function M.stat(values)
  local sorted = {}
  for i, value in ipairs(values) do sorted[i] = value end
  table.sort(sorted)
  local function at(part)
    local position = 1 + (#sorted - 1) * part
    local below = math.floor(position)
    local above = math.min(below + 1, #sorted)
    return sorted[below] + (sorted[above] - sorted[below]) * (position - below)
  end
  if #sorted == 0 then return nil end
  return { median = at(0.5), low = at(0.25), high = at(0.75), count = #sorted }
end

-- One slice that nobody stole from: up to one tick is allowed for each second that it took.
local function slice(run, name)
  local result
  for try = 1, TRIES do
    local stolen, began = steal(), system.monotime()
    result = run(name)
    stolen = (steal() - stolen) * TICK
    if stolen <= TICK * (system.monotime() - began) then return result end
    if try < TRIES then M.discarded = M.discarded + 1 end
  end
  M.kept_stolen = M.kept_stolen + 1
  return result
end

local Result = {}
Result.__index = Result

--- Run `count` rounds over `names`; `run(name)` returns numbers by name. `deadline` (seconds): no further round then.
--- count 0: one pass in one order, for who is in a hurry.
function M.rounds(names, count, run, deadline)
  local self = setmetatable({ rounds = {} }, Result)
  local began = system.monotime()
  for i = 1, math.max(count, 1) do
    if i > 1 and deadline and system.monotime() - began > deadline then break end
    local round = {}
    for _, name in ipairs(names) do round[name] = { slice(run, name) } end
    for at = count > 0 and #names or 0, 1, -1 do table.insert(round[names[at]], (slice(run, names[at]))) end
    self.rounds[i] = round
  end
  return self
end

local function mean(round, name, metric)
  local pair = round[name] or {}
  if #pair == 0 then return nil end
  local sum = 0
  for _, result in ipairs(pair) do
    if not result[metric] then return nil end
    sum = sum + result[metric]
  end
  return sum / #pair
end

function Result:collect(of)
  local values = {}
  for _, round in ipairs(self.rounds) do
    local value = of(round)
    if value and value == value and math.abs(value) < math.huge then values[#values + 1] = value end
  end
  return M.stat(values)
end

--- Statistics of one metric of one contestant, less that of `base` when given; nil: it has none.
function Result:of(name, metric, base)
  return self:collect(function(round)
    local value, less = mean(round, name, metric), base and mean(round, base, metric) or 0
    return value and less and value - less
  end)
end

--- Statistics of the ratio of two contestants within a round, each less its base when that is given.
function Result:ratio(name, other, metric, base, other_base)
  return self:collect(function(round)
    local a, b = mean(round, name, metric), mean(round, other, metric)
    if not (a and b) then return nil end
    return (a - (base and mean(round, base, metric) or 0)) / (b - (other_base and mean(round, other_base, metric) or 0))
  end)
end

return M
