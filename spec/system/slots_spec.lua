-- SPDX-License-Identifier: MIT
-- core/cells.c: a slot that comes round. The flow table still has the flows of its last cell; the next one's flows are
-- new all the same. And thousands of slots are looked at a part at a time.
local ffi = require("ffi")
local bpf = require("bpf_libbpf")
local descriptors = require("descriptors")
local netns = require("netns")
local packet = require("packet")
local privileged = require("privileged")
require("core_headers")("cells")

local core = privileged.core

describe("a slot", function()
  local cells

  before_each(function()
    local options, err = ffi.new("struct cf_cells_options", 1000000, 1024, 65536), ffi.new("struct cf_error")
    cells = ffi.new("struct cf_cells")
    assert(core.cf_cells_open(cells, options, err) == 0, ffi.string(err.text))
  end)

  after_each(function()
    core.cf_cells_close(cells)
    netns.remove_all()
  end)

  local function add(plan)
    local err = ffi.new("struct cf_error")
    local cell = core.cf_cells_add(cells, plan, nil, err)
    assert(cell ~= nil, ffi.string(err.text))
    return cell
  end

  local function count(cell, what)
    local sum = ffi.new("struct cf_stats")
    assert(core.cf_bpf_stats(cell.object.stats_fd, sum) == 0)
    return tonumber(sum.n[what])
  end

  it("that is given again makes new flows of the tuples that its last cell had", function()
    local ns = netns.make()
    netns.must("ip -n %s link set e0 down", ns.name) -- what the kernel says of its own accord would be counted as well
    local plan = privileged.cell({ name = "x", netns = ns.path, interface = "e0" })
    local frame = packet.frame4(packet.UDP, packet.udp({ src = 1, dst = 2 }))
    plan.hooks = ffi.C.CF_PLAN_EGRESS
    for _ = 1, 3 do
      cells.next_slot = 4095 -- as after 4096 additions
      local cell = add(plan)
      assert.equal(4095, cell.slot % 4096)
      for _ = 1, 2 do bpf.test_run(cell.object.prog_fd[ffi.C.CF_FLOW_EGRESS], frame) end
      assert.equal(1, count(cell, ffi.C.CF_STAT_FLOW_NEW))
      assert.equal(1, count(cell, ffi.C.CF_STAT_FLOW_HIT))
      core.cf_cells_remove(cells, cell)
    end
    assert.equal(3, tonumber(cells.removed.n[ffi.C.CF_STAT_FLOW_NEW]))
  end)

  it("whose cell has to be looked up by name has its turn, with hundreds of others", function()
    local fakes = {}
    for i = 1, 600 do -- as attached by clsact in a namespace that is gone
      local cell = ffi.new("struct cf_cell")
      cell.plan = privileged.cell({ name = "c" .. i, netns = "/nope/" .. i })
      cell.slot, cell.is_watched, cell.object.stats_fd = i * 5, true, -1
      core.cf_attachment_init(cell.attachment)
      cell.watched.cell, cell.watched.pidfd = cell.plan, -1
      fakes[i], cells.by_slot[i * 5], cells.count = cell, cell, i
    end
    local alive = {}
    descriptors.without_stderr(function()
      for i = 1, 3 do alive[i] = core.cf_cells_check(cells, ffi.C.CF_CELLS_ALL) end
    end)
    for i = 1, #fakes do cells.by_slot[i * 5] = nil end
    cells.count = 0
    assert.same({ 600 - 256, 600 - 512, 0 }, alive)
  end)
end)
