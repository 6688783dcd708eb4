-- SPDX-License-Identifier: MIT
-- When each of many cells is looked at (core/cells_gone.c): a few at a time in turn, and all where links went.
local ffi = require("ffi")
local privileged = require("privileged")
local netns = require("netns")
local standing = require("standing")
local core = privileged.core

local CELLS = ffi.C.CF_CELLS_LINKS_SOME + 4 -- more than one call looks at

describe("many cells that are looked at", function()
  local world, spaces, cells

  before_each(function()
    world, spaces, cells = standing.open(), {}, {}
    for i = 1, CELLS do
      spaces[i] = netns.make(i > 1) -- only the first has an interface of its own
      cells[i] = assert(world:add({ name = "c" .. i, netns = spaces[i].path, interface = i == 1 and "e0" or "lo" }))
    end
  end)

  after_each(function()
    world:close()
    netns.remove_all()
  end)

  local function look(how) return tonumber(core.cf_cells_check(world.cells, how)) end

  it("are asked in turn, so that an interface that went is told after as many calls as that takes", function()
    netns.must("ip -n %s link del e0", spaces[1].name)
    assert.equal(CELLS, look(ffi.C.CF_CELLS_NEWS))
    look(ffi.C.CF_CELLS_SOME)
    look(ffi.C.CF_CELLS_SOME)
    assert.is_true(cells[1].gone)
    for i = 2, CELLS do assert.is_false(cells[i].gone) end
  end)

  it("are all asked in one call when a link of our own namespace went", function()
    local outside = ("cf%x"):format(ffi.C.getpid())
    local last = netns.make(true)
    netns.must("ip link add %s type veth peer name e0 netns %s", outside, last.name)
    local cell = assert(world:add({ name = "last", netns = last.path, interface = "e0" }))
    look(ffi.C.CF_CELLS_ALL)
    assert.is_false(world.cells.watch.links_went)
    netns.must("ip link del %s", outside)
    assert.equal(CELLS + 1, look(ffi.C.CF_CELLS_NEWS))
    assert.is_true(world.cells.watch.links_went)
    assert.equal(CELLS, look(ffi.C.CF_CELLS_SOME))
    assert.is_true(cell.gone)
    assert.is_false(world.cells.watch.links_went)
  end)
end)
