-- SPDX-License-Identifier: MIT
-- `--where EXPR`: a Lua expression over the fields of records, compiled for itself: it sees those fields and a few
-- functions, and nothing of the policy. Where record and event name a field alike, it is the event's, which is the one
-- that can be compared. Which events it is asked about is selection.lua's business.
local cidr = require("cellflow.cidr")
local event = require("cellflow.event")
local suggest = require("cellflow.suggest")
local syntax = require("cellflow.where_syntax")
local units = require("cellflow.units")

local M = {}

-- What a record has and an event has not, as texts of Lua over `answer` and `member` (record.lua's getters).
local ANSWERED = { decision = "(answer.decision or nil)", rule = "(answer.rule or nil)",
  reason_code = '(answer.error_place and "script_error" or answer.reason or nil)',
  decided_at = "(answer.place or nil)", error_at = "(answer.error_place or nil)" }
local MEMBERS = { "correlation_id", "decision_id", "duration_ms", "generation", "issuer_kid", "keyset_id",
  "nft_rule_ref", "observed_at", "policy_digest", "run_id" }

local LIBRARIES = {
  string = "byte find len lower match reverse sub upper", math = "abs ceil floor max min",
  bit = "band bnot bor bxor lshift rshift",
}
local FUNCTIONS = { tonumber = tonumber, tostring = tostring }

--- Names that may be asked for, for whoever lists them.
M.names = {}
local is_member, library_names = {}, {}
for _, name in ipairs(event.fields) do M.names[#M.names + 1] = name end
for name in pairs(ANSWERED) do M.names[#M.names + 1] = name end
for _, name in ipairs(MEMBERS) do
  M.names[#M.names + 1], is_member[name] = name, true
end
table.sort(M.names)
local known = { "net" }
for _, name in ipairs(M.names) do known[#known + 1] = name end
for name in pairs(FUNCTIONS) do known[#known + 1] = name end
for name in pairs(units) do known[#known + 1] = name end
for library, text in pairs(LIBRARIES) do
  known[#known + 1], library_names[library] = library, {}
  for name in text:gmatch("%S+") do table.insert(library_names[library], name) end
end
table.sort(known)

local function same(a, b, kind) return type(a) == kind and type(b) == kind end

-- An absent value makes what is worked out of it absent, and a comparison with it false.
local SAFE = {}
function SAFE.lt(a, b) return (same(a, b, "number") or same(a, b, "string")) and a < b end
function SAFE.le(a, b) return (same(a, b, "number") or same(a, b, "string")) and a <= b end
function SAFE.add(a, b) if same(a, b, "number") then return a + b end end
function SAFE.sub(a, b) if same(a, b, "number") then return a - b end end
function SAFE.mul(a, b) if same(a, b, "number") then return a * b end end
function SAFE.div(a, b) if same(a, b, "number") then return a / b end end
function SAFE.mod(a, b) if same(a, b, "number") then return a % b end end
function SAFE.pow(a, b) if same(a, b, "number") then return a ^ b end end
function SAFE.neg(a) if type(a) == "number" then return -a end end
function SAFE.len(a) if type(a) == "string" then return #a end end
function SAFE.cat(a, b)
  if (type(a) == "string" or type(a) == "number") and (type(b) == "string" or type(b) == "number") then
    return a .. b
  end
end

-- Not with a vararg: four arguments are what the functions above take at most.
local function of_known(fn)
  return function(a, b, c, d)
    if a == nil then return nil end
    if d ~= nil then return fn(a, b, c, d) end
    if c ~= nil then return fn(a, b, c) end
    if b ~= nil then return fn(a, b) end
    return fn(a)
  end
end

local function functions()
  local calls = {}
  for library, names in pairs(library_names) do
    for _, name in ipairs(names) do calls[library .. "_" .. name] = of_known(_G[library][name]) end
  end
  for name, fn in pairs(FUNCTIONS) do calls[name] = of_known(fn) end
  return calls
end

local function resolver(core, nets, uses)
  local net = cidr.new(core)
  local names = {}
  function names.resolve(name, column)
    if ANSWERED[name] then return "value", ANSWERED[name] end
    if event.get[name] then return "value", ("get.%s(ev)"):format(name) end
    if is_member[name] then
      uses.record = true
      return "value", ("member.%s()"):format(name)
    end
    if units[name] then return "value", tostring(units[name]) end
    if FUNCTIONS[name] then return "function", "calls." .. name end
    if library_names[name] then return "library" end
    if name == "net" then return "net" end
    local hint = suggest.hint(name, known)
    return syntax.wrong(column, 'a record has no field "%s"%s', name,
      hint ~= "" and hint or ('; text is written in quotes: "%s"'):format(name))
  end
  function names.member(library, name, column)
    for _, one in ipairs(library_names[library]) do
      if one == name then return ("calls.%s_%s"):format(library, name) end
    end
    return syntax.wrong(column, '%s has no function "%s" here%s', library, name,
      suggest.hint(name, library_names[library]))
  end
  function names.net(texts, column)
    local ok, made = pcall(net, #texts == 1 and texts[1] or texts)
    if not ok then syntax.wrong(column, "%s", tostring(made)) end
    nets[#nets + 1] = made
    return ("nets[%d]"):format(#nets)
  end
  return names
end

local CHUNK = [[
local get, answer, member, nets, calls, safe = ...
local lt, le, add, sub, mul, div = safe.lt, safe.le, safe.add, safe.sub, safe.mul, safe.div
local mod, pow, cat, neg, len = safe.mod, safe.pow, safe.cat, safe.neg, safe.len
return function(ev) return %s end]]

--- One expression, read: { uses_record =, bind = function(answer, member) -> function(ev) }. `answer` is dispatch's,
--- `member` the getters of record.lua, which must be at that event when uses_record is set. Raises { usage = what }.
function M.read(core, text)
  local nets, uses = {}, {}
  local made = syntax.lua(text, resolver(core, nets, uses))
  local chunk, why = load(CHUNK:format(made), "=--where", "t", {})
  if not chunk then error({ usage = "is too long: " .. tostring(why):gsub("^.-:%d+: ", "") }, 0) end
  return {
    uses_record = uses.record or false,
    bind = function(answer, member) return chunk(event.get, answer, member, nets, functions(), SAFE) end,
  }
end

return M
