-- SPDX-License-Identifier: MIT
-- What `cellflow suggest` makes of a recorded run, in force: the firewall of the ruleset lets through what was seen and
-- nothing else, and the policy says the same.
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local operator = require("operator")

describe("what suggest makes of a run", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here, desk

  before_each(function()
    here = lab.up()
    here:serve("--ports 20")
    desk = operator.open(here)
    local run = cellflow.start({ verb = "record", args = { desk:at("day.rec"), "--netns", here.cell, "--events",
      "opened,closed" } }):ready()
    here:send("--flows 120 --ports 3")
    for _, to in ipairs({ lab.peer4, lab.peer6 }) do here:exec("cell", "ping -q -c 1 " .. to) end
    assert.equal(0, run:finish())
  end)
  after_each(function()
    cellflow.stop_all()
    desk:close()
    here:down()
  end)

  local function suggest(words)
    local code, out, err = desk:run(("suggest %s %s"):format(words, desk:at("day.rec")))
    assert.equal(0, code, err)
    return out
  end

  -- Whether a connection from the cell to this port of the peer comes to stand.
  local function connects(address, port)
    return select(2, lab.run(("ip netns exec %s timeout 2 bash -c ': >/dev/tcp/%s/%d' 2>/dev/null"):format(here.cell,
      address, port))) == 0
  end

  it("is a firewall that passes what was seen, and drops the rest", function()
    for _, to in ipairs({ lab.peer4, lab.peer6 }) do assert.is_true(connects(to, 9010)) end
    here:nft(suggest("-o nft"))
    here:send("--flows 120 --ports 3 --seed 2") -- fails unless all arrive
    for _, to in ipairs({ lab.peer4, lab.peer6 }) do
      here:exec("cell", "ping -q -c 1 " .. to)
      assert.is_true(connects(to, 9001))
      assert.is_false(connects(to, 9010))
    end
    here:exec("cell", "nft flush ruleset")
    here:nft(suggest("-o nft --ports"))
    for _, to in ipairs({ lab.peer4, lab.peer6 }) do assert.is_true(connects(to, 9010)) end
  end)

  it("is a policy that denies the same in a run", function()
    local policy = desk:policy(suggest(""))
    local run = cellflow.start({ args = { "-c", policy } }):ready()
    here:send("--flows 120 --ports 3 --seed 2")
    for _, to in ipairs({ lab.peer4, lab.peer6 }) do assert.is_true(connects(to, 9010)) end
    assert.equal(0, run:finish())
    local denied = {}
    for _, record in ipairs(run:records()) do
      -- Of ICMPv6 the kernel says this and that of its own accord.
      if record.decision == "deny" and record.protocol == "tcp" then
        denied[#denied + 1] = record.dst_addr .. " " .. record.dst_port
      end
    end
    table.sort(denied)
    assert.same({ lab.peer4 .. " 9010", lab.peer6 .. " 9010" }, denied)
  end)
end)
