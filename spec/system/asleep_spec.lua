-- SPDX-License-Identifier: MIT
-- A producer that keeps silent though the worker sleeps, as one may that lost its CPU between its packet and its event:
-- the worker looks by itself a few times. The silence is made here by a wake-up that lies in the future.
local lab = require("spec.support.lab")
local cellflow = require("cellflow")

-- Of all maps with that name in the kernel: ids.
local function maps(name)
  local ids = {}
  for id, of in lab.must("bpftool map show --json"):gmatch('"id":(%d+),[^{}]-"name":"([^"]*)"') do
    if of == name then ids[id] = true end
  end
  return ids
end

describe("a worker that has just gone to sleep", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here
  before_each(function() here = lab.up() end)
  after_each(function()
    cellflow.stop_all()
    here:down()
  end)

  for name, case in pairs({
    ["alone"] = { args = {} },
    ["and whose cell has both sources, so that the collector reads its ring,"] = { args = { "--sources", "ebpf,nflog" } },
  }) do
    it(name .. " finds what nobody woke it for within seconds", function()
      local before = maps("WAKE")
      local run = cellflow.start({ args = { "--netns", here.cell, unpack(case.args) } }):ready()
      for id in pairs(maps("WAKE")) do
        if not before[id] then
          lab.must("bpftool map update id " .. id .. " key 0 0 0 0 value 0 0 0 0 0 0 0 64") -- 146 years
        end
      end
      lab.must("sleep 0.2")
      here:send("--mix udp4 --flows 3")
      cellflow.wait_for("what nobody woke the worker for", 10, function() return #run:records() == 3 end)
      assert.equal(0, run:finish())
    end)
  end
end)
