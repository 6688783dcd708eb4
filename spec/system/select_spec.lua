-- SPDX-License-Identifier: MIT
--
-- A running cellflow that shows a part of what it decides, in another form: filters, --limit, -o and colours.
local cellflow = require("cellflow")
local descriptors = require("descriptors")
local identities = require("identities")
local labs = require("lab")
local operator = require("operator")
local system = require("system")

local POLICY = [[
  deny "no-udp" { protocol = "udp" }
]]

describe("what is shown of a run", function()
  local lab, desk, fds, seed = nil, nil, {}, 0

  setup(function()
    lab = labs.up()
    lab:serve()
  end)
  teardown(function() lab:down() end)
  before_each(function() desk = operator.open(lab) end)
  after_each(function()
    cellflow.stop_all()
    for _, fd in ipairs(fds) do descriptors.close(fd) end
    fds = {}
    desk:close()
  end)

  -- New flows each time, half of them TCP and half UDP.
  local function send(count)
    seed = seed + 1
    lab:send(("--flows %d --mix tcp4,udp4 --seed %d"):format(count, seed))
  end

  local function policy(rest)
    return desk:write("p.lua", ('cell "web" { netns = "%s", interface = "eth0" }\n%s'):format(lab.cell, rest or POLICY))
  end

  local function start(args, options)
    options = options or {}
    options.args = { "-c", options.policy or policy() }
    for _, arg in ipairs(args) do table.insert(options.args, arg) end
    return cellflow.start(options)
  end

  local function lines_of(text)
    local list = {}
    for line in text:gmatch("([^\n]*)\n") do list[#list + 1] = line end
    return list
  end

  it("is what the filters say, and what they leave out is counted as an ending of its own", function()
    local run = start({ "--decision", "deny", "--where", "protocol == 'udp' and byte_count < 1 * MB",
      "--summary-record" }):ready()
    send(40)
    assert.equal(0, run:finish())
    local summary = identities.check(run:summary())
    local records = run:records()
    assert.is_true(#records > 0)
    for _, record in ipairs(records) do
      assert.same({ "deny", "udp", "no-udp" }, { record.decision, record.protocol, record.rule })
    end
    assert.equal(#records, summary.worker.records)
    assert.is_true(summary.worker.filtered > 0)
    assert.equal(summary.worker.consumed, summary.worker.records + summary.worker.filtered)
    assert.matches((" = %d records + 0 deduplicated + 0 suppressed + %d filtered + "):format(#records,
      summary.worker.filtered), run:stderr(), 1, true)
  end)
  it("may be nothing, and a denial that is not shown is one all the same", function()
    local run = start({ "--cell", "web", "--select-cell", "other", "--fail-on", "deny", "--summary-record" }):ready()
    send(10)
    assert.equal(8, run:finish())
    assert.same({}, run:records())
    assert.matches('no cell is called "other", so nothing of it is shown', run:stderr(), 1, true)
    assert.equal(0, identities.check(run:summary()).decisions.deny)
  end)
  it("ends after --limit records, in order", function()
    local run = start({ "--limit", "5", "--summary-record" }):ready()
    send(40)
    assert.equal(0, run:wait())
    assert.equal(5, #run:records())
    local summary = identities.check(run:summary())
    assert.same({ 5, summary.worker.consumed - 5 }, { summary.worker.records, summary.worker.filtered })
    assert.matches("as many records as --limit says, ending", run:stderr(), 1, true)
  end)
  it("counts towards the limit only what is shown", function()
    local run = start({ "--limit", "3", "--protocol", "udp", "--port", "0-65535" }):ready()
    send(60)
    assert.equal(0, run:wait())
    assert.equal(3, #run:records())
    for _, record in ipairs(run:records()) do assert.equal("udp", record.protocol) end
  end)

  it("is of a span of time, whose end is the run's, whichever worker decides", function()
    local began = system.gettime()
    local run = start({ "--since", "+1s", "--until", "+4s", "--summary-record" }):ready()
    send(20) -- too early
    local worker = run:worker()
    assert.is_true(cellflow.kill(worker, "KILL"))
    run:worker(worker)
    system.sleep(math.max(0, began + 2 - system.gettime())) -- of the second that a slow start may have left
    send(20)
    assert.equal(0, run:wait(15))
    local ended = system.gettime()
    local summary, records = identities.check(run:summary()), run:records()
    assert.is_true(ended - began >= 4, ended - began)
    assert.matches("the time has come that --until says, ending", run:stderr(), 1, true)
    assert.is_true(#records >= 20)
    assert.equal(summary.worker.consumed, #records + summary.worker.filtered)
    for _, record in ipairs(records) do
      local at = tonumber(record.observed_at:match(":(%d%d%.%d+)Z"))
      local since = (at - began % 60) % 60
      assert.is_true(since >= 1 and since < 5, record.observed_at)
    end
  end)

  for _, case in ipairs({
    { "--until", "2026-01-01T00:00:00Z", "--until: 2026-01-01T00:00:00Z is over already; in five minutes is +5m" },
    { "--where", "dst_prot == 443", '--where: column 1: a record has no field "dst_prot" (did you mean "dst_port"?)' },
    { "--where", "dst_port = 443", '--where: column 10: "=" is no operator here; write ==' },
    { "--to-ip", "10.0.0.1/8", '--to-ip: "10.0.0.1/8" has host bits set; the network is "10.0.0.0/8"' },
    { "-o", "jsn", '--output: "jsn" is not known (did you mean "json"?)' },
    { "--limit", "0", '--limit: "0" is not a whole number from 1 to ' },
  }) do
    it("is refused at the start, with exit code 2: " .. case[1] .. " " .. case[2], function()
      local run = start({ case[1], case[2] })
      assert.equal(2, run:wait())
      assert.matches("cellflow: error: " .. case[3], run:stderr(), 1, true)
      assert.equal("", run:stdout())
    end)
  end

  describe("as", function()
    it("lines of words, without colours where no terminal is", function()
      local run = start({ "-o", "compact" }):ready()
      send(20)
      assert.equal(0, run:finish())
      local lines, denied = lines_of(run:stdout()), 0
      assert.is_true(#lines > 0)
      for _, line in ipairs(lines) do
        assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ web 10%.77%.0%.2:%d+ %-> 10%.77%.0%.1:%d+ ", line)
        assert.is_falsy(line:find("%c"))
        if line:find(" udp deny policy_deny rule=no-udp", 1, true) then denied = denied + 1 end
      end
      assert.is_true(denied > 0 and denied < #lines)
    end)
    it("a table with its header, and nothing is lost or counted wrongly by it", function()
      local run = start({ "-o", "table", "--color", "always", "--summary-record" }):ready()
      send(20)
      assert.equal(0, run:finish())
      local lines = lines_of(run:stdout())
      assert.matches("^TIME +CELL +SOURCE +DESTINATION +PROTOCOL +DIRECTION +KIND +DECISION +REASON +RULE", lines[1])
      assert.matches(" web +10%.77.* egress +opened +\27%[3[12]m%a+\27%[0m ", lines[2])
      local summary = cellflow.parse_lines(lines[#lines] .. "\n")[1]
      identities.check(summary)
      assert.equal(1, summary.outputs[1].extra)
      assert.equal(#lines - 2, summary.outputs[1].records)
    end)
    it("several at once, each output in its own, and a line of format's own only where JSON would be", function()
      local path, csv = desk:at("all.jsonl"), desk:at("all.csv")
      local run = start({ "-o", "compact" }, { policy = policy(([[
        output "json" { path = "%s" }
        output "csv" { path = "%s" }
        function format(record) return "mine " .. record.protocol end]]):format(path, csv)) }):ready()
      send(10)
      assert.equal(0, run:finish())
      local words, own, rows = lines_of(run:stdout()), lines_of(labs.read_file(path)), lines_of(labs.read_file(csv))
      assert.is_true(#words > 0)
      assert.same({ #words, #words + 1 }, { #own, #rows })
      for _, line in ipairs(own) do assert.matches("^mine %l+$", line) end
      for _, line in ipairs(words) do assert.matches(" allow ebpf_flow_observed$", line) end
      assert.matches("^schema_version,type,kind,", rows[1])
      for i = 2, #rows do assert.matches("^1%.0%.0,network_flow_decision,opened,web,.*\r$", rows[i]) end
    end)
    it("CSV whose header comes first on every connection", function()
      local listener = descriptors.listen(desk:at("sock"))
      fds[#fds + 1] = listener
      local run = start({}, { policy = policy(('output "csv" { path = "unix:%s" }'):format(desk:at("sock"))) }):ready()
      for generation = 1, 2 do
        local connection, text = assert(descriptors.accept(listener)), ""
        fds[#fds + 1] = connection
        send(4)
        labs.wait_for("a header and rows", 10, function()
          text = text .. descriptors.drain(connection)
          return #lines_of(text) >= 5
        end)
        assert.equal("schema_version", text:sub(1, 14))
        assert.equal(1, select(2, text:gsub("schema_version", "")))
        if generation == 1 then
          run:signal("HUP")
          run:says("generation 2 is in force")
        end
      end
      assert.equal(0, run:finish())
      assert.is_falsy(run:stderr():find("do not add up", 1, true))
    end)
    it("CSV whose header comes first in every file, and once", function()
      local path = desk:at("x.csv")
      local file = policy(('output "csv" { path = "%s" }'):format(path))
      local function headers(text) return select(2, text:gsub("schema_version,type", "")) end
      local first = start({}, { policy = file }):ready()
      send(4)
      labs.wait_for("a row", 5, function() return #lines_of(labs.read_file(path)) > 1 end)
      os.rename(path, path .. ".1")
      first:signal("HUP")
      first:says("generation 2 is in force")
      send(4)
      assert.equal(0, first:finish())
      for _, name in ipairs({ path, path .. ".1" }) do
        local text = labs.read_file(name)
        assert.equal(1, headers(text), name)
        assert.equal("schema_version", text:sub(1, 14))
        assert.is_true(#lines_of(text) > 1)
      end
      local second = start({}, { policy = file }):ready()
      send(4)
      assert.equal(0, second:finish())
      assert.equal(1, headers(labs.read_file(path)))
      assert.is_falsy(second:stderr():find("do not add up", 1, true))
    end)
  end)

  describe("on a terminal", function()
    -- The run as a terminal sees it: script(1) makes one.
    local function seen(environment, args)
      if select(2, labs.run("command -v script")) ~= 0 then return nil end
      local out, err = desk:at("tty"), desk:at("err")
      local command = ("%s %s run -c %s -o compact --limit 4 %s 2>%s"):format(environment, cellflow.path, policy(),
        args, err)
      local said = labs.must(("script -qefc '%s' %s >/dev/null 2>&1 </dev/null & echo $!"):format(command, out))
      local pid = said:match("%d+")
      labs.wait_for("cellflow to be ready", 10, function()
        return (labs.read_file(err) or ""):find("cellflow: ready", 1, true)
      end)
      send(20)
      labs.wait_for("the limit", 10, function() return not cellflow.is_alive(tonumber(pid)) end)
      local lines = {}
      for line in labs.read_file(out):gmatch("[^\r\n]+") do
        if line:find(" web ", 1, true) then lines[#lines + 1] = line end
      end
      assert.equal(4, #lines)
      return lines
    end

    for _, case in ipairs({
      { "is coloured", "env -u NO_COLOR", "", true }, { "is not with NO_COLOR", "env NO_COLOR=1", "", false },
      { "is not with --color never", "env -u NO_COLOR", "--color never", false },
      { "is with NO_COLOR, when asked for", "env NO_COLOR=1", "--color always", true },
    }) do
      it(case[1], function()
        local lines = seen(case[2], case[3])
        if not lines then return pending("needs script(1) of bsdutils, for a terminal") end
        for _, line in ipairs(lines) do
          assert.equal(case[4], line:find(" \27%[3[12]m%a+\27%[0m ") ~= nil, line)
          assert.is_falsy((line:gsub("\27%[3[12]m(%a+)\27%[0m", "%1")):find("%c"))
        end
      end)
    end
  end)
end)
