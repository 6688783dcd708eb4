-- SPDX-License-Identifier: MIT
-- Words for the numbers of event.h, as tables by number: { [1] = "opened", ... }. The words live in core/names.c, so
-- that a record written by C and a field read by Lua cannot differ; they are fetched once, never per event.
local ffi = require("ffi")

local M = {}

local function fetch(lookup, last)
  local words = {}
  for number = 0, last do
    local text = lookup(number)
    if text ~= nil then
      words[number] = ffi.string(text)
    end
  end
  return words
end

local function fetch_tcp_flags(core)
  local words, text = {}, ffi.new("char[?]", ffi.C.CF_TCP_FLAGS_TEXT_LEN)
  for flags = 0, 255 do
    words[flags] = ffi.string(text, core.cf_tcp_flags_text(flags, text))
  end
  return words
end

--- Every table, from `core`. A number without a word is nil: what is not known is absent.
function M.new(core)
  return {
    kind = fetch(core.cf_name_kind, 255),
    source = fetch(core.cf_name_source, 255),
    hook = fetch(core.cf_name_hook, 255),
    witnesses = fetch(core.cf_name_witnesses, 255),
    direction = fetch(core.cf_name_direction, 255),
    family = fetch(core.cf_name_family, 255),
    verdict = fetch(core.cf_name_verdict, 255),
    close_reason = fetch(core.cf_name_close_reason, 255),
    protocol = fetch(core.cf_name_protocol, 255),
    tcp_flags = fetch_tcp_flags(core),
  }
end

return M
