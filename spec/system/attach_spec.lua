-- SPDX-License-Identifier: MIT
-- core/attach.c in real namespaces: packets are counted, others on the same hook are left alone, by either way.
local ffi = require("ffi")
local lfs = require("lfs")
local privileged = require("privileged")
local netns = require("netns")
local other_program = require("other_program")

local TCX, CLSACT = ffi.C.CF_ATTACH_TCX, ffi.C.CF_ATTACH_CLSACT
local EGRESS = ffi.C.CF_PLAN_EGRESS

local function cell_of(ns, mode)
  return privileged.cell({ name = "x", netns = ns.path, interface = "e0", attach = mode })
end

local function load(hooks)
  return assert(privileged.load(privileged.maps(), { hooks = hooks }))
end

local function qdiscs(ns)
  return netns.must("tc -n %s qdisc show dev e0", ns.name)
end

for name, mode in pairs({ tcx = TCX, clsact = CLSACT }) do
  describe("attached by " .. name, function()
    after_each(netns.remove_all)

    it("both directions are counted, until detached, and nothing is left", function()
      local ns = netns.make()
      local cell, object = cell_of(ns, mode), load()
      netns.ping(ns, 1) -- ARP is done
      local before = qdiscs(ns)
      local attachment = assert(privileged.attach(cell, object))
      assert.equal(mode, attachment.mode)
      netns.ping(ns, 5)
      local stats = privileged.stats(object)
      assert.is_true(stats.n[ffi.C.CF_STAT_PACKETS] >= 10)
      assert.is_true(stats.n[ffi.C.CF_STAT_PARSED] >= 10)
      assert.is_true(privileged.detach(attachment, cell))
      assert.is_true(privileged.detach(attachment, cell))
      local seen = privileged.packets(object)
      netns.ping(ns, 3)
      assert.equal(seen, privileged.packets(object))
      assert.equal(before, qdiscs(ns))
    end)

    it("every descriptor is closed again", function()
      local ns = netns.make()
      local cell, object = cell_of(ns, mode), load()
      -- Without a child: while one starts, both ends of its pipe are open here.
      local function descriptors()
        local count = 0
        for _ in lfs.dir("/proc/self/fd") do count = count + 1 end
        return count
      end
      collectgarbage("stop") -- or it closes what earlier specs left
      finally(function() collectgarbage("restart") end)
      local before = descriptors()
      for _ = 1, 3 do
        local attachment = assert(privileged.attach(cell, object))
        assert.not_equal(before, descriptors())
        assert.is_true(privileged.detach(attachment, cell))
        assert.equal(before, descriptors())
      end
    end)

    it("one direction is counted alone", function()
      local ns = netns.make()
      netns.ping(ns, 1)
      netns.must("ip -n %s neigh replace %s lladdr $(ip netns exec %s cat /sys/class/net/%s/address) dev e0", ns.name,
        ns.gateway, ns.peer, ns.outside)
      local cell = cell_of(ns, mode)
      for _, hook in ipairs({ ffi.C.CF_PLAN_EGRESS, ffi.C.CF_PLAN_INGRESS }) do
        local object = load(hook)
        local attachment = assert(privileged.attach(cell, object))
        netns.ping(ns, 4)
        local seen = privileged.packets(object)
        assert.is_true(privileged.detach(attachment, cell))
        assert.is_true(seen >= 4 and seen < 8, seen)
      end
    end)

    it("somebody else's program runs on, whether it came before us or after", function()
      local ns = netns.make()
      local cell, object = cell_of(ns, mode), load(EGRESS)
      local ifindex = privileged.look(cell).ifindex
      local earlier, later = other_program.load(), other_program.load()
      local links = {}
      local function put(program, priority)
        privileged.inside(cell, function()
          if mode == TCX then
            links[#links + 1] = program:tcx(ifindex)
          else
            program:clsact(ifindex, priority)
          end
        end)
      end
      if mode == CLSACT then privileged.inside(cell, function() other_program.make_clsact(ifindex) end) end
      put(earlier, 100)
      local attachment = assert(privileged.attach(cell, object))
      put(later, 300)
      local function grow(own)
        local a, b, c = earlier:count(), later:count(), privileged.packets(object)
        netns.ping(ns, 3)
        assert.is_true(earlier:count() >= a + 3 and later:count() >= b + 3)
        assert.equal(own, privileged.packets(object) >= c + 3)
      end
      grow(true)
      assert.is_true(privileged.detach(attachment, cell))
      grow(false)
      for _, link in ipairs(links) do ffi.C.close(link) end
      if mode == CLSACT then assert.matches("qdisc clsact", qdiscs(ns), 1, true) end
    end)

    it("does not keep the namespace alive", function()
      local ns = netns.make()
      local cell, object = cell_of(ns, mode), load()
      local attachment = assert(privileged.attach(cell, object))
      assert.is_true(netns.run("ip -n %s link show %s", ns.peer, ns.outside))
      netns.must("ip netns del %s", ns.name)
      assert.is_true(netns.eventually(function()
        return not netns.run("ip -n %s link show %s", ns.peer, ns.outside)
      end))
      local done, text = privileged.detach(attachment, cell)
      if mode == TCX then
        assert.is_true(done)
      else
        assert.equal('cell "x": its network namespace cannot be reached any more; the clsact filters on e0 go when ' ..
          'the namespace goes', text)
      end
    end)
  end)
end

describe("tcx", function()
  after_each(netns.remove_all)

  it("is taken first, and before every program that is there", function()
    local ns = netns.make()
    local cell, object = cell_of(ns), load(EGRESS)
    local attachment = assert(privileged.attach(cell, object))
    assert.equal(TCX, attachment.mode)
    assert.equal(attachment.interface.ifindex, privileged.core.cf_tcx_ifindex(attachment.link_fd[0]))
    assert.equal(1, ffi.C.fcntl(attachment.link_fd[0], 1)) -- F_GETFD: FD_CLOEXEC
    local second = load(EGRESS)
    local other = assert(privileged.attach(cell, second)) -- two cellflows do not disturb each other
    netns.ping(ns, 2)
    assert.is_true(privileged.packets(object) >= 2 and privileged.packets(second) >= 2)
    privileged.detach(other, cell)
    privileged.detach(attachment, cell)
  end)

  it("is replaced by clsact in a kernel without it, unless asked for", function()
    local ns = netns.make()
    assert.equal("mode\t" .. CLSACT .. "\n", netns.must("luajit spec/support/without_tcx.lua %s %d", ns.path, 0))
    assert.not_matches("clsact", qdiscs(ns), 1, true)
    local output = netns.must("luajit spec/support/without_tcx.lua %s %d", ns.path, TCX)
    assert.matches("^" .. ffi.C.CF_FAIL_UNSUPPORTED_HOST .. '\tcell "x": interface e0: this kernel refuses tcx', output)
  end)
end)
