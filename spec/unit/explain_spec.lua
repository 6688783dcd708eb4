-- SPDX-License-Identifier: MIT
-- The parts of `explain` that no command line shows: a rule index that errs is told, JSON is read
-- strictly, times exactly.
local ffi = require("ffi")
local helper = require("spec.helper")
local condition = require("cellflow.condition")
local host_module = require("cellflow.host")
local json_decode = require("cellflow.json_decode")
local strict_json = require("strict_json")
local wall_time = require("cellflow.wall_time")

local function explain(text, ...)
  local plan = ffi.new("struct cf_plan")
  local host = host_module.new(helper.core, "explain")
  host.load(text .. "\nfunction format() end", "p.lua", {}, plan)
  local answer, said = host.ask("event", plan, { "1700000000.5", ... })
  assert.equal(0, answer, said)
  host.bind(plan) -- as the verb does: the words may have named an interface
  return host.ask("explain", plan, { "", "" })
end

describe("explain", function()
  it("says loudly when the index of rules and the rules disagree", function()
    local real = condition.new
    local policy = 'deny "ssh" { dst_port = 22 }'
    assert.equal(0, (explain(policy, "dst_port=22")))
    condition.new = function(core)
      local self = real(core)
      self.meets = function() return false end
      return self
    end
    local ok, answer, text = pcall(explain, policy, "dst_port=22")
    condition.new = real
    assert(ok, answer)
    assert.equal(1, answer)
    assert.truthy(text:find("\nBUG       this is a bug of cellflow: rule by rule none matches, by the index number 1\n",
      1, true), text)
  end)

  it("finds for each kind of condition what the index finds, and names what is wanted", function()
    for wanted, case in pairs({
      ['src_addr = "10.0.0.0/9"'] = { "src_addr=10.127.0.1", "src_addr=10.128.0.1", "10.0.0.0/9" },
      ['src_addr = { "2001:db8::/33", "::1" }'] = { "src_addr=2001:db8:7fff::1", "src_addr=2001:db8:8000::1",
        "2001:db8::/33 or ::1" },
      ['tcp_flags = { "SA", "R" }'] = { "tcp_flags=SAU", "tcp_flags=S", "R or SA" },
      ["fragment = true"] = { "fragment=true", "fragment=false", "true" },
      ['protocol_number = "50-52"'] = { "protocol_number=51", "protocol_number=53", "50 or 51 or 52" },
      ['vlan = { 7, "100-" }'] = { "vlan=4095", "vlan=8", "7 or 100-4095" },
      ['duration = "0.5-10"'] = { "duration=10", "duration=11", "0.5-10" },
      ['duration = "5-"'] = { "duration=5", "duration=4", "5-" },
      ['prefix = "x"'] = { "prefix=x", "prefix=y", '"x"' },
      ['interface = "eth0"'] = { "interface=eth0", "interface=eth1", '"eth0"' },
      ["conflict = true"] = { "conflict=true", "conflict=false", "true" },
      ["midstream = false"] = { "midstream=false", "midstream=true", "false" },
      ['witnesses = "ebpf,nflog"'] = { "witnesses=ebpf,nflog", "witnesses=nflog", "ebpf,nflog" },
      ['witnesses = "nflog"'] = { "source=nflog", "source=ebpf", "nflog" },
      ['hook = "nf_output"'] = { "hook=nf_output", "hook=nf_input", "nf_output" },
      ['nft_rule = "no-ssh"'] = { "nft_rule=no-ssh", "prefix=no-ssh", '"no-ssh"' },
      ['reply_packet_count = "5-9"'] = { "kind=closed reply_packet_count=5", "kind=closed reply_packet_count=4",
        "5-9" },
      ['kind = "closed"'] = { "kind=closed", "kind=opened", "closed" },
      ["src_port = { 1, 3, 5, 7, 9, 11, 13, 15 }"] = { "src_port=15", "src_port=2",
        "1, 3, 5, 7, 9, 11 or one of 2 more" },
    }) do
      local policy = ('deny "r" { %s }'):format(wanted)
      local function words(text)
        local list = {}
        for word in text:gmatch("%S+") do list[#list + 1] = word end
        return unpack(list)
      end
      local answer, text = explain(policy, words(case[1]))
      assert.equal(0, answer, text)
      assert.truthy(text:find('p.lua:1 deny "r": yes -> deny, policy_deny\n', 1, true), text)
      answer, text = explain(policy, words(case[2]))
      assert.equal(0, answer, text)
      assert.truthy(text:find(", rule wants " .. case[3] .. "\n", 1, true), text)
    end
  end)
end)

describe("times", function()
  it("are read to the nanosecond, leap days included", function()
    for text, want in pairs({ ["1970-01-01T00:00:00Z"] = 0ULL, ["2000-02-29T23:59:59.5Z"] = 951868799500000000ULL,
      ["2026-11-23T18:11:38.525640830Z"] = 1795457498525640830ULL, ["1795457498.525640830"] = 1795457498525640830ULL,
      ["2024-03-01T00:00:00.000000001z"] = 1709251200000000001ULL }) do
      assert.equal(tostring(want), tostring(wall_time.parse(text)))
    end
    assert.equal("1500000000ULL", tostring(wall_time.parse(1.5)))
    for _, text in ipairs({ "", "x", "-1", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z",
      "2026-01-01T00:00:00", "99999999999" }) do
      assert.is_nil((wall_time.parse(text)))
    end
  end)
end)

describe("JSON events", function()
  it("are read as another reader does", function()
    assert.same({ a = "x\n\"\\/é€😀\127", b = -1.5e3, c = true, e = { 1, { f = "g" } } }, (json_decode.object(
      ' { "a" : "x\\n\\"\\\\\\/\\u00e9\\u20AC\\ud83d\\ude00\127", "b":-1.5e3,"c":true,"d":null, "e":[1,{"f":"g"}] } ')))
  end)
  for _, text in ipairs({ "", "[]", "{", '{"a"}', '{"a":}', '{"a":01}', '{"a":1.}', '{"a":+1}', '{"a":1,}', '{"a":1}x',
    '{a:1}', '{"a":"\n"}', '{"a":"\\x"}', '{"a":"\\ud800"}', '{"a":"\\u12"}', '{"a":"', '{"a":1,"a":2}', '{"a":nil}',
    '{"a":0x10}', '{"a":1e}', '{"a":' .. ("["):rep(40) }) do
    it("are refused: " .. text:sub(1, 20):gsub("%c", "?"), function()
      local value, wrong = json_decode.object(text)
      assert.is_nil(value)
      assert.matches(" at byte %d+$", wrong)
      assert.falsy(strict_json.is_object(text, #text))
    end)
  end
end)
