-- SPDX-License-Identifier: MIT
-- What cellflow.lua must do, whoever changes it. Run it with `cellflow test`; it needs no root and no namespace.
local testing = require("cellflow.testing")

describe("cellflow.lua", function()
  local policy

  before_each(function()
    policy = testing.load("cellflow.lua", { args = { cell = "web" } })
  end)

  it("allows https", function()
    local record = policy:decide { protocol = "tcp", dst_addr = "192.0.2.7", dst_port = 443 }
    assert.equal("allow", record.decision)
    assert.equal("https", record.rule)
  end)

  it("denies ssh, also to the inside", function()
    local record = policy:decide { protocol = "tcp", dst_addr = "10.0.0.9", dst_port = 22 }
    assert.equal("deny", record.decision)
    assert.equal("ssh_egress", record.reason_code)
  end)

  it("allows what stays inside", function()
    assert.equal("inside", policy:decide { dst_addr = "fd00::7", dst_port = 8080 }.reason_code)
  end)

  it("denies what nobody declared", function()
    local record = policy:decide { protocol = "udp", dst_addr = "192.0.2.7", dst_port = 4444 }
    assert.equal("not_declared", record.reason_code)
  end)

  it("names the firewall's rule of a packet that was dropped", function()
    local record = policy:decide { kind = "logged", dst_addr = "192.0.2.7", dst_port = 25,
      prefix = "cellflow:deny:no-mail" }
    assert.same({ "deny", "firewall", "no-mail" }, { record.decision, record.reason_code, record.rule })
  end)

  it("writes one record a minute for each destination", function()
    local event = { dst_addr = "192.0.2.7", dst_port = 443 }
    assert.truthy(policy:decide(event))
    local none, ending = policy:decide(event)
    assert.is_nil(none)
    assert.equal("deduplicated", ending)
    policy:advance(60)
    assert.truthy(policy:decide(event))
  end)

  it("counts what it denied, and tells where it went", function()
    policy:decide { dst_addr = "192.0.2.7", dst_port = 22 }
    assert.equal(1, policy:counter("denied"))
    policy:advance(60)
    local line = policy:emitted()[1]
    assert.equal("denied_lately", line.type)
    assert.same({ { key = "192.0.2.7", count = 1 } }, line.top)
  end)

  it("has an answer to everything", function()
    for event in testing.events { count = 200 } do
      local record, ending = policy:decide(event)
      assert.is_true(record ~= nil or ending == "deduplicated")
      if record then assert.is_nil(record.error_at) end
    end
    assert.same({}, policy:logs())
  end)
end)
