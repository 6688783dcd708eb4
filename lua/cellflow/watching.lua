-- SPDX-License-Identifier: MIT
-- How a cell is watched, as a policy says it: by which sources, where and how to attach, of which events it wants to
-- hear. Checkers for options.lua, from words to numbers of the plan and back; carried out elsewhere.
local bit = require("bit")
local ffi = require("ffi")
local options = require("cellflow.options")

local C = ffi.C
local M = {}

local TC = { auto = C.CF_ATTACH_AUTO, tcx = C.CF_ATTACH_TCX, clsact = C.CF_ATTACH_CLSACT }
local SOURCES = { auto = C.CF_SOURCES_AUTO, ebpf = C.CF_SOURCES_EBPF, nflog = C.CF_SOURCES_NFLOG,
  noop = C.CF_SOURCES_NOOP }
local ALONE = { auto = true, noop = true }
local STANDS = { inside = C.CF_STAND_INSIDE, peer = C.CF_STAND_PEER, tap = C.CF_STAND_TAP }
local KINDS = { "opened", "updated", "closed", "logged" }
local EVENTS = {}
for number, kind in ipairs(KINDS) do EVENTS[kind] = bit.lshift(1, number) end

M.tc = options.choice(TC)
M.events = options.flags(EVENTS)

local one_source, some_sources = options.choice(SOURCES), options.flags(SOURCES)

function M.sources(value)
  if type(value) ~= "table" then return one_source(value) end
  for i = 1, #value do
    if #value > 1 and ALONE[value[i]] then
      return nil, ('takes "%s" alone: only "ebpf" and "nflog" go together'):format(value[i])
    end
  end
  if #value == 1 then return one_source(value[1]) end
  return some_sources(value)
end

local group = options.integer(1, C.CF_NFLOG_GROUP_MAX)

function M.nflog_group(value)
  if value == 0 then
    return nil, ("must not be 0, where the kernel's own log messages go: a whole number from 1 to %d"):format(
      C.CF_NFLOG_GROUP_MAX)
  end
  return group(value)
end

local some_stands = options.flags(STANDS)

--- The option `attach`.
function M.stand(value)
  if type(value) == "string" and TC[value] then
    return nil, ('is where to attach ("inside", "peer", "tap"); how to is tc = "%s"'):format(value)
  end
  local stand, wrong = some_stands(value)
  if stand and stand > C.CF_STAND_TAP then return nil, 'takes "tap" alone, which is the whole way into a microVM' end
  return stand, wrong
end

--- Lists of words, for the numbers of a plan.
function M.source_words(sources)
  if sources == C.CF_SOURCES_BOTH then return { "ebpf", "nflog" } end
  for word, number in pairs(SOURCES) do
    if number == sources then return { word } end
  end
end

function M.event_words(events)
  local words = {}
  for number, kind in ipairs(KINDS) do
    if bit.band(events, bit.lshift(1, number)) ~= 0 then words[#words + 1] = kind end
  end
  return words
end

function M.stand_words(stand)
  local words = {}
  for _, word in ipairs({ "inside", "peer", "tap" }) do
    if bit.band(stand, STANDS[word]) ~= 0 then words[#words + 1] = word end
  end
  return words
end

return M
