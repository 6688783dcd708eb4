-- SPDX-License-Identifier: MIT
-- core/attach.c in real namespaces: packets are counted, others on the same hook are left alone, by either way.
local ffi = require("ffi")
local helper = require("spec.helper")
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

local function tc_filters(ns, side)
  return netns.must("tc -n %s filter show dev e0 %s", ns.name, side)
end

local function qdiscs(ns)
  return netns.must("tc -n %s qdisc show dev e0", ns.name)
end

describe("the interface", function()
  after_each(netns.remove_all)

  it("is found by name, with its index and the length of its link header", function()
    local ns = netns.make()
    local interface = assert(privileged.look(cell_of(ns)))
    local index = netns.must("ip netns exec %s cat /sys/class/net/e0/ifindex", ns.name)
    assert.equal(tonumber(index), interface.ifindex)
    assert.equal(14, interface.link_len)
    assert.equal("e0", ffi.string(interface.name))
    assert.equal(14, privileged.look(privileged.cell({ netns = ns.path, interface = "lo" })).link_len)
    netns.must("ip -n %s tuntap add t0 mode tun", ns.name)
    assert.equal(0, privileged.look(privileged.cell({ netns = ns.path, interface = "t0" })).link_len)
  end)

  it("that is missing is refused with those that are there", function()
    local ns = netns.make()
    local _, text, kind = privileged.look(privileged.cell({ name = "x", netns = ns.path, interface = "eth7" }))
    assert.equal(ffi.C.CF_FAIL_ATTACH, kind)
    assert.equal('cell "x": no interface eth7 (there are: lo, e0)', text)
  end)

  it("need not be named when only one is up", function()
    local ns = netns.make()
    netns.must("ip -n %s tuntap add t0 mode tun", ns.name)
    local cell = privileged.cell({ name = "x", netns = ns.path })
    assert.equal("e0", ffi.string(assert(privileged.look(cell)).name))
    netns.must("ip -n %s link set t0 up", ns.name)
    local _, text = privileged.look(cell)
    assert.equal('cell "x": no interface given and more than one is up besides loopback; give one: ' ..
      'interface = "..." (there are: lo, e0, t0)', text)
    netns.must("ip -n %s link set t0 down && ip -n %s link set e0 down", ns.name, ns.name)
    _, text = privileged.look(cell)
    assert.matches("none is up besides loopback", text, 1, true)
    assert.matches("(there are: lo, e0 (down), t0 (down))", text, 1, true)
  end)

  it("that was replaced since the look is not attached to", function()
    local ns = netns.make()
    local cell, object = cell_of(ns), load(EGRESS)
    local interface = assert(privileged.look(cell))
    netns.must("ip -n %s link set e0 name e1 && ip -n %s link set lo name e0", ns.name, ns.name)
    local fd = assert(privileged.open(cell))
    local err, attachment = ffi.new("struct cf_error"), ffi.new("struct cf_attachment")
    local ret = privileged.core.cf_attach(fd, cell, interface, object.prog_fd, attachment, err)
    ffi.C.close(fd)
    assert.equal(-1, ret)
    assert.equal('cell "x": interface e0 was replaced since it was looked up; try again', ffi.string(err.text))
  end)
end)

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
      local function descriptors() return netns.must("ls /proc/%d/fd | wc -l", ffi.C.getpid()) end
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

describe("clsact", function()
  local children = {}

  local function child(ns, hooks)
    local output = os.tmpname()
    local pid = netns.must("luajit spec/support/attach_and_wait.lua %s %d >%s 2>&1 & echo $!", ns.path, hooks or 3,
      output)
    pid = tonumber(pid)
    children[pid] = true
    local attached = netns.eventually(function() return netns.run("grep -q attached %s", output) end)
    local said = netns.must("cat %s", output)
    os.remove(output)
    assert(attached, said)
    return pid
  end

  local function kill(pid)
    children[pid] = nil
    netns.must("kill -9 %d", pid)
    assert(netns.eventually(function()
      return not netns.run("grep -q '^State:[[:space:]][^Z]' /proc/%d/status", pid)
    end))
  end

  after_each(function()
    for pid in pairs(children) do kill(pid) end
    netns.remove_all()
  end)

  it("leaves a qdisc that was there, and the filters in it", function()
    local ns = netns.make()
    local cell, object = cell_of(ns, CLSACT), load()
    netns.must("tc -n %s qdisc add dev e0 clsact", ns.name)
    local attachment = assert(privileged.attach(cell, object))
    assert.equal(ffi.C.CF_CLSACT_FOREIGN_QDISC, attachment.clsact.handle)
    assert.matches("pref 207 bpf .-handle 0xcf000002 cellflow_egress", tc_filters(ns, "egress"))
    assert.is_true(privileged.detach(attachment, cell))
    assert.equal("", tc_filters(ns, "egress") .. tc_filters(ns, "ingress"))
    assert.matches("qdisc clsact", qdiscs(ns), 1, true)
  end)

  it("leaves its own qdisc when somebody put a filter there meanwhile", function()
    local ns = netns.make()
    local cell, object = cell_of(ns, CLSACT), load(EGRESS)
    local attachment = assert(privileged.attach(cell, object))
    assert.equal(ffi.C.CF_CLSACT_OWN_QDISC, attachment.clsact.handle)
    local other = other_program.load()
    privileged.inside(cell, function() other:clsact(attachment.interface.ifindex, 9, 1, "ingress") end)
    assert.is_true(privileged.detach(attachment, cell))
    assert.equal("", tc_filters(ns, "egress"))
    assert.matches("pref 9 bpf .- other_program", tc_filters(ns, "ingress"))
  end)

  it("leaves a qdisc that replaced its own", function()
    local ns = netns.make()
    local cell, object = cell_of(ns, CLSACT), load(EGRESS)
    local attachment = assert(privileged.attach(cell, object))
    netns.must("tc -n %s qdisc del dev e0 clsact && tc -n %s qdisc add dev e0 clsact", ns.name, ns.name)
    assert.is_true(privileged.detach(attachment, cell))
    assert.matches("qdisc clsact", qdiscs(ns), 1, true)
  end)

  it("has nothing to detach once the interface is gone", function()
    local ns = netns.make()
    local cell, object = cell_of(ns, CLSACT), load()
    local attachment = assert(privileged.attach(cell, object))
    netns.must("ip -n %s link del e0", ns.name)
    assert.is_true(privileged.detach(attachment, cell))
  end)

  it("removes what a killed cellflow left, and only that", function()
    local ns = netns.make()
    local cell, object = cell_of(ns, CLSACT), load()
    kill(child(ns))
    assert.matches("handle 0xcf000001 cellflow_egress", tc_filters(ns, "egress"))
    local other = other_program.load()
    local ifindex = privileged.look(cell).ifindex
    privileged.inside(cell, function() other:clsact(ifindex, 9) end)
    local attachment = assert(privileged.attach(cell, object))
    assert.equal(ffi.C.CF_CLSACT_OWN_QDISC, attachment.clsact.handle) -- inherited
    local _, count = tc_filters(ns, "egress"):gsub("cellflow_egress:%[", "")
    assert.equal(1, count)
    netns.ping(ns, 2)
    assert.is_true(privileged.packets(object) >= 4 and other:count() >= 2)
    netns.must("tc -n %s filter del dev e0 egress pref 9", ns.name)
    assert.is_true(privileged.detach(attachment, cell))
    assert.not_matches("clsact", qdiscs(ns), 1, true)
  end)

  it("of a killed cellflow is removed by one that attaches by tcx", function()
    local ns = netns.make()
    kill(child(ns))
    local cell, object = cell_of(ns, TCX), load()
    local attachment = assert(privileged.attach(cell, object))
    assert.not_matches("clsact", qdiscs(ns), 1, true)
    privileged.detach(attachment, cell)
  end)

  it("is refused while another cellflow lives, which goes on", function()
    local ns = netns.make()
    local pid = child(ns, EGRESS)
    local cell = cell_of(ns, CLSACT)
    local attachment, text, kind = privileged.attach(cell, load())
    assert.is_nil(attachment)
    assert.equal(ffi.C.CF_FAIL_ATTACH, kind)
    assert.equal(('cell "x": interface e0: another cellflow (process %d) is attached to its egress hook by clsact; ' ..
      'stop that one first'):format(pid), text)
    local by_tcx = assert(privileged.attach(cell_of(ns, TCX), load())) -- and its purge leaves the living alone
    privileged.detach(by_tcx, cell)
    assert.matches("handle 0xcf000001 cellflow_egress", tc_filters(ns, "egress"))
    kill(pid)
    local after = assert(privileged.attach(cell, load()))
    assert.is_true(privileged.detach(after, cell))
    assert.not_matches("clsact", qdiscs(ns), 1, true)
  end)

  it("is refused when another program has our handle, and the refusal names it", function()
    local ns = netns.make()
    local cell, object = cell_of(ns, CLSACT), load()
    local ifindex, other, id = privileged.look(cell).ifindex, other_program.load(), nil
    privileged.inside(cell, function()
      other_program.make_clsact(ifindex)
      id = other:clsact(ifindex, 207, 0xcf000001)
    end)
    local before = tc_filters(ns, "egress")
    local attachment, text, kind = privileged.attach(cell, object)
    assert.is_nil(attachment)
    assert.equal(ffi.C.CF_FAIL_ATTACH, kind)
    assert.matches(("program other_program (id %d) has cellflow's place on the egress hook"):format(id), text, 1, true)
    assert.equal(before, tc_filters(ns, "egress"))
    assert.equal("", tc_filters(ns, "ingress"))
    local command = text:match("with: (tc filter del .*)$")
    netns.must("ip netns exec %s %s", ns.name, command) -- the remedy works
    attachment = assert(privileged.attach(cell, object))
    privileged.detach(attachment, cell)
  end)

  it("takes off what it had put when the second direction fails", function()
    local ns = netns.make()
    netns.must("tc -n %s qdisc add dev e0 clsact", ns.name)
    netns.must("tc -n %s filter add dev e0 ingress pref 207 protocol ip bpf da obj %s/bpf/test/other.bpf.o sec tc",
      ns.name, helper.build)
    local attachment, text, kind = privileged.attach(cell_of(ns, CLSACT), load())
    assert.is_nil(attachment)
    assert.equal(ffi.C.CF_FAIL_ATTACH, kind)
    assert.matches("^cell \"x\": interface e0: clsact ingress filter: ", text)
    assert.equal("", tc_filters(ns, "egress"))
    assert.matches("pref 207 bpf .*other", tc_filters(ns, "ingress"))
  end)
end)
