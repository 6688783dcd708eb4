-- SPDX-License-Identifier: MIT
-- Every policy that ships loads, survives every kind of event, and does what its first line says.
local ffi = require("ffi")
require("spec.helper")
local recording = require("recording_core")

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

local function shipped()
  local paths = { "cellflow.lua.example" }
  local list = assert(io.popen("ls lua/examples/*.lua"))
  for path in list:lines() do paths[#paths + 1] = path end
  list:close()
  return paths
end

local EVENTS = { { verdict = 1 }, { verdict = 2 }, { source = 2, kind = 4, verdict = 2 }, { source = 2, kind = 4 } }

local function answers(path)
  local out = {}
  for _, ending in ipairs((recording.run(read(path), EVENTS))) do
    out[#out + 1] = ending.how .. (ending.decision and " " .. ending.decision .. " " .. ending.reason or "")
  end
  return out
end

describe("a policy that ships", function()
  for _, path in ipairs(shipped()) do
    it("loads and checks: " .. path, function()
      local errors, warnings = (recording.host(read(path))).check()
      assert.same({ {}, {} }, { errors, warnings })
    end)
    it("begins with what it is for: " .. path, function()
      assert.matches("^%-%- SPDX[^\n]+\n%-%- %S", read(path))
    end)
  end
end)

describe("example", function()
  it("identity does what no policy does", function()
    local plain = {}
    for i, ending in ipairs((recording.run(nil, EVENTS))) do
      plain[i] = ending.how .. " " .. ending.decision .. " " .. ending.reason
    end
    assert.same(plain, answers("lua/examples/identity.lua"))
  end)
  it("deny_only writes what was denied", function()
    assert.same({ "suppressed", "record deny ebpf_xdp_drop", "record deny nflog_match", "suppressed" },
      answers("lua/examples/deny_only.lua"))
  end)
  it("original_mapping names the reason after the source", function()
    assert.same({ "record allow ebpf_xdp_drop", "record deny ebpf_xdp_drop", "record deny nflog_match",
      "record allow nflog_match" }, answers("lua/examples/original_mapping.lua"))
  end)
  it("allow_list decides by rules alone", function()
    local endings = recording.run(read("lua/examples/allow_list.lua"), { { dst_port = 22 }, { dst = "169.254.169.254" },
      { direction = 2 }, { dst = "10.0.0.53", protocol = 17, dst_port = 53 }, { dst = "192.0.2.9" },
      { src = "fd00::1", dst = "2001:db8::1", family = 6, dst_port = 80 }, { protocol = 1, flags = 2, icmp_type = 8 },
      { dst = "198.51.100.3", protocol = 17, dst_port = 33500 }, { dst = "203.0.113.1" }, { protocol = 47 } })
    local got = {}
    for i, ending in ipairs(endings) do got[i] = (ending.rule or "-") .. " " .. ending.reason end
    assert.same({ "no-ssh ssh_egress", "metadata cloud_metadata", "answers policy_allow", "dns policy_allow",
      "mirrors policy_allow", "mirrors policy_allow", "ping policy_allow", "probes policy_allow", "- not_declared",
      "- not_declared" }, got)
  end)
  it("cellflow.lua.example watches one namespace and denies SSH to the outside", function()
    local _, out = recording.host(read("cellflow.lua.example"))
    assert.equal(1, out.plan.cell_count)
    assert.equal("/run/netns/build-42", ffi.string(out.plan.cells[0].netns))
    local endings = recording.run(read("cellflow.lua.example"), { { dst_port = 22 },
      { dst_port = 22, dst = "10.9.9.9" }, { protocol = 47 } })
    assert.same({ "ssh_egress", "no-ssh", "ebpf_flow_observed", "odd_protocol" },
      { endings[1].reason, endings[1].rule, endings[2].reason, endings[3].reason })
  end)
end)
