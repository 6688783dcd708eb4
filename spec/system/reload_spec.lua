-- SPDX-License-Identifier: MIT
-- Reading the policy again while flows come: nothing lost, nothing twice, each record says by which generation it was
-- decided, and nothing grows. What a reload does to cells and outputs is signals_spec.lua's.
local cellflow = require("cellflow")
local labs = require("lab")
local system = require("system")

local FLOWS, RELOADS = 500000, 100

local function write(path, text)
  local temporary = path .. ".new"
  local file = assert(io.open(temporary, "w"))
  file:write(text)
  file:close()
  assert(os.rename(temporary, path)) -- as editors do: a reader sees the old file or the new one
end

local function policy(lab, number)
  return ([[
cell "web" { netns = %q, interface = "eth0" }
function verdict(ev) return "allow", "by_%d" end
]]):format(lab.cell, number)
end

local function count(pattern)
  local pipe = io.popen(pattern)
  local number = tonumber(pipe:read("*a"))
  pipe:close()
  return number
end

local function descriptors(pid) return count(("ls /proc/%d/fd | wc -l"):format(pid)) end
local function resident(pid) return count(("awk '/RssAnon/ { print $2 }' /proc/%d/status"):format(pid)) end

describe("a policy read again", function()
  local lab, path

  before_each(function()
    lab, path = labs.up(), os.tmpname()
  end)
  after_each(function()
    cellflow.stop_all()
    lab:down()
    os.remove(path)
  end)

  it("with --watch is in force soon after it was written, and a broken one never", function()
    write(path, policy(lab, 1))
    local run = cellflow.start({ args = { "-c", path, "--watch" } }):ready()
    system.sleep(0.6)
    write(path, policy(lab, 2))
    run:says("generation 2 is in force", 5)
    write(path, "function verdict(ev) return end end")
    run:says("generation 2 stays in force", 5)
    lab:exec("cell", "ping -c 1 -W 1 10.77.0.1 >/dev/null")
    write(path, policy(lab, 3))
    run:says("generation 3 is in force", 5)
    assert.equal(0, run:finish())
    local records = run:records()
    assert.equal("by_2", records[1].reason_code)
    assert.equal(2, records[1].generation)
  end)

  -- One flow a packet, from a sender that takes as long as the reloads do.
  it("a hundred times under load loses nothing, doubles nothing and leaks nothing", function()
    write(path, policy(lab, 1))
    local run = cellflow.start({ args = { "-c", path, "--summary-record" } }):ready()
    lab:serve("--port-base 3000 --ports 64 --seconds 120")
    local sender = lab:start("cell", ("build/flowgen --to4 10.77.0.1 --to6 fd77::1 --mix udp4,udp6 --flows %d " ..
      "--port-base 3000 --ports 64 --rate 50000 --seconds 60"):format(FLOWS))
    local in_force, warm = 1, nil
    for i = 1, RELOADS do
      if i == 10 then warm = { descriptors(run.pid), resident(run.pid) } end
      if i % 10 == 0 then
        write(path, "cell 'web' { netns = ")
        run:signal("HUP")
        local failures = i / 10
        cellflow.wait_for("failure " .. failures, 10, function()
          return select(2, run:stderr():gsub("reload failed", "")) == failures
        end)
      else
        in_force = in_force + 1
        write(path, policy(lab, in_force))
        run:signal("HUP")
        run:says(("generation %d is in force"):format(in_force), 10)
      end
    end
    assert.truthy(descriptors(run.pid) <= warm[1], "descriptors grew")
    assert.truthy(resident(run.pid) <= warm[2] + 1024, "memory grew")
    local sent = cellflow.wait_for("the sender", 60, function()
      return labs.read_file(sender.path):match('"flows":(%d+)')
    end)
    assert.equal(0, run:finish())
    local seen, generations, last = {}, {}, 0
    for line in run:stdout():gmatch("[^\n]+") do
      local id = line:match('"decision_id":"([^"]+)"')
      local generation = tonumber(line:match('"generation":(%d+)'))
      if id then
        assert.is_nil(seen[id], "twice: " .. line)
        seen[id] = true
        assert.equal("by_" .. generation, line:match('"reason_code":"([^"]+)"'))
        assert.truthy(generation >= last, "decided by an older generation than the record before")
        last, generations[generation] = generation, true
      end
    end
    local summary = run:summary()
    assert.equal(tonumber(sent), summary.flows)
    assert.equal(tonumber(sent), summary.worker.records)
    assert.same({ 0, 0, true, in_force }, { summary.lost, summary.worker.restarts, summary.adds_up,
      summary.generation })
    local deciding = 0
    for _ in pairs(generations) do deciding = deciding + 1 end
    assert.truthy(deciding > 20, "the load was over too soon: " .. deciding .. " generations decided anything")
  end)

  -- Reload from `before` to `after` in the middle of a stream of one-packet flows.
  local function reload_under_load(before, after)
    write(path, before)
    local run = cellflow.start({ args = { "-c", path, "--summary-record" } }):ready()
    lab:serve("--port-base 3000 --ports 64 --seconds 60")
    local sender = lab:start("cell", "build/flowgen --to4 10.77.0.1 --to6 fd77::1 --mix udp4,udp6 --flows 12000 " ..
      "--port-base 3000 --ports 64 --rate 6000 --seconds 30")
    system.sleep(0.7)
    write(path, after)
    run:signal("HUP")
    run:says("generation 2 is in force", 10)
    cellflow.wait_for("the sender", 30, function()
      return labs.read_file(sender.path):find('"flows":12000', 1, true)
    end)
    assert.equal(0, run:finish())
    return run:summary(), run
  end

  local function with(options)
    return ([[cell %q { netns = %q, interface = "eth0", %s }]]):format(options.name or "web", lab.cell,
      options.more or "")
  end

  it("that watches a cell otherwise misses no flow and opens none twice", function()
    local summary, run = reload_under_load(with({}), with({ more = 'hooks = { "egress", "ingress" }' }))
    assert.same({ 12000, 12000, 0, 0, true }, { summary.flows, summary.worker.records, summary.worker.refused,
      summary.lost, summary.adds_up })
    local generations = {}
    for _, record in ipairs(run:records()) do generations[record.generation] = true end
    assert.same({ true, true }, generations)
  end)

  it("that watches a cell otherwise counts every packet once", function()
    lab:nft([[
      table inet t {
        counter came { }
        chain i { type filter hook input priority 0; udp dport 9000-9999 counter name came drop; }
      }]], "peer")
    local generation = 1
    write(path, with({ more = 'events = { "opened", "closed" }' }))
    local run = cellflow.start({ args = { "-c", path, "--summary-record" } }):ready()
    local sender = lab:start("cell", ("luajit scripts/bench.d/nflog.lua send %s 20000 5"):format(lab.cell))
    while cellflow.is_alive(sender.pid) do
      local fails = generation % 3 == 0 and not run:stderr():find(("generation %d stays"):format(generation), 1, true)
      write(path, with({ more = generation % 2 == 1 and 'events = { "opened", "updated", "closed" }'
        or 'events = { "opened", "closed" }, hooks = { "egress", "ingress" }' })
        .. (fails and '\ncell "none" { netns = "/nowhere/ns" }' or ""))
      local _, before = run:stderr():gsub("reload[^\n]*\n", "")
      run:signal("HUP")
      cellflow.wait_for("a reload", 10, function()
        return select(2, run:stderr():gsub("reload[^\n]*\n", "")) > before
      end)
      generation = generation + (fails and 0 or 1)
    end
    assert.equal(0, run:finish())
    local packets = 0
    for _, record in ipairs(run:records()) do
      if record.kind == "closed" and record.dst_port and record.dst_port >= 9000 then
        packets = packets + record.packet_count
      end
    end
    assert.is_true(generation > 4)
    assert.equal(lab:counters("peer").came.packets, packets)
    assert.is_true(run:summary().adds_up)
  end)

  it("that gives a cell another name keeps its attachment, and says the new name", function()
    local summary = reload_under_load(with({}), with({ name = "renamed" }))
    assert.same({ 12000, 0, "renamed" }, { summary.worker.records, summary.lost, summary.cells[1].cell_id })
  end)

  it("that watches by clsact otherwise opens no flow twice, and refuses no event", function()
    local summary = reload_under_load(with({ more = 'tc = "clsact"' }),
      with({ more = 'tc = "clsact", hooks = { "egress", "ingress" }' }))
    assert.equal(summary.flows, summary.worker.records)
    assert.same({ 0, 0, true }, { summary.worker.refused, summary.lost, summary.adds_up })
  end)

  it("that drops a cell still records the cell's last events by its name", function()
    local other = labs.up()
    finally(function() other:down() end)
    local both = with({}) .. ('\ncell "other" { netns = %q, interface = "eth0" }'):format(other.cell)
    local summary, run = reload_under_load(both, ('cell "other" { netns = %q, interface = "eth0" }'):format(other.cell))
    assert.same({ 0, 0, true }, { summary.worker.refused, summary.lost, summary.adds_up })
    for _, record in ipairs(run:records()) do assert.equal("web", record.cell_id) end
  end)
end)
