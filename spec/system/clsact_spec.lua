-- SPDX-License-Identifier: MIT
-- core/clsact.c in real namespaces: whose qdisc and filters are, also after a kill and among
-- several cellflows.
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
