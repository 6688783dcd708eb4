-- SPDX-License-Identifier: MIT
-- What is wrong with JSON that people hand to explain: each mistake in its own words, with the byte it is at.
require("spec.helper")
local json_decode = require("cellflow.json_decode")

local WRONG = {
  { "", "no JSON object at byte 1" }, { "[1]", "no JSON object at byte 1" },
  { '{"a":1} x', "more text behind the object at byte 9" },
  { "{a:1}", "a name in quotes is missing at byte 2" }, { '{"a" 1}', '":" is missing at byte 6' },
  { '{"a":1,"a":2}', '"a" is there twice at byte 8' }, { '{"a":1 "b":2}', '"," or "}" is missing at byte 8' },
  { '{"a":[1 2]}', '"," or "]" is missing at byte 9' }, { '{"a":}', "no JSON value at byte 6" },
  { '{"a":01}', "no JSON value at byte 6" }, { '{"a":nul}', "no JSON value at byte 6" },
  { '{"a":"x', "text without an end at byte 8" }, { '{"a":"\1"}', "a control character in text at byte 7" },
  { '{"a":"\\q"}', "an unknown escape at byte 7" }, { '{"a":"\\u12"}', "an escape without four hex digits at byte 9" },
  { '{"a":"\\ud800"}', "half a surrogate pair at byte 9" }, { '{"a":"\\udc00"}', "half a surrogate pair at byte 9" },
  { '{"a":' .. ("["):rep(32) .. ("]"):rep(32) .. "}", "nested too deep at byte 37" },
}

describe("JSON that is wrong:", function()
  for _, case in ipairs(WRONG) do
    it(case[1]:gsub("%c", "?"), function() assert.same({ nil, case[2] }, { json_decode.object(case[1]) }) end)
  end
end)
