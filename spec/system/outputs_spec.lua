-- SPDX-License-Identifier: MIT
--
-- Outputs of a running cellflow: readers that are slow or gone, full disks, files that others write to. Every record is
-- written whole, or it is counted; nothing waits for a reader.
local cellflow = require("cellflow")
local descriptors = require("descriptors")
local labs = require("lab")
local operator = require("operator")

describe("output", function()
  local lab, desk, fds

  setup(function()
    lab = labs.up()
    lab:serve()
  end)
  teardown(function() lab:down() end)

  before_each(function()
    desk, fds = operator.open(lab), {}
  end)
  after_each(function()
    cellflow.stop_all()
    for _, fd in ipairs(fds) do descriptors.close(fd) end
    labs.run("umount " .. desk:at("full"))
    desk:close()
  end)

  local function keep(fd)
    fds[#fds + 1] = fd
    return fd
  end

  -- A FIFO on the desk; read and write end in one, so that it always has a reader until that is closed.
  local function fifo()
    labs.must("mkfifo " .. desk:at("fifo"))
    return desk:at("fifo"), descriptors.open(desk:at("fifo"), descriptors.O_RDWR + descriptors.O_NONBLOCK)
  end

  -- seed: other source ports, so that the flows are new ones
  local function send(count, seed)
    lab:send(("--flows %d --mix udp4 --seed %d"):format(count, seed or 1))
  end

  local function start(options)
    options.args = options.args or { "--netns", lab.cell }
    return cellflow.start(options):ready()
  end

  -- The numbers of an output in the log's last summary.
  local function numbers(run, path)
    local line = run:stderr():match("^.*output +" .. path:gsub("%p", "%%%0") .. ": ([^\n]*)")
    local n = {}
    for number, name in line:gmatch("(%d+) (%a+)") do n[name] = tonumber(number) end
    return n
  end

  local function lines(path)
    return select(2, (labs.read_file(path) or ""):gsub("\n", ""))
  end

  it("to a pipe that nobody reads is bounded, counted, and keeps nobody waiting", function()
    local path, reader = fifo()
    keep(reader)
    local run = start({ args = { "--netns", lab.cell, "--drain-timeout", "1" }, stdout = path })
    send(20000)
    assert.equal(0, run:finish(10))
    local n = numbers(run, "-")
    assert.equal(20000, n.records)
    assert.equal(20000, n.written + n.dropped + n.uncertain + n.unwritten)
    assert.is_true(n.dropped > 0 and n.unwritten > 0)
    assert.matches("20000 submitted = 20000 consumed", run:stderr(), 1, true)
    assert.matches(("%d LOST"):format(n.dropped + n.uncertain + n.unwritten), run:stderr(), 1, true)
    local text = descriptors.drain(reader)
    assert.equal(n.written, select(2, text:gsub("\n", "")))
    cellflow.parse_lines(text:match("^.*\n"))
  end)

  it("to a pipe that is read again gets every record, whole", function()
    local path, reader = fifo()
    keep(reader)
    local run = start({ stdout = path })
    send(4000)
    local parts = {}
    run:signal("TERM")
    cellflow.wait_for("the end", 10, function()
      parts[#parts + 1] = descriptors.drain(reader)
      return run:ended()
    end)
    parts[#parts + 1] = descriptors.drain(reader)
    assert.equal(0, run.code)
    assert.equal(4000, #cellflow.parse_lines(table.concat(parts)))
    assert.matches("nothing lost", run:stderr(), 1, true)
  end)

  it("whose reader has had enough ends the run, quietly", function()
    labs.must(("bash -c '%s run --netns %s 2>%s | head -1 >%s; echo ${PIPESTATUS[0]} >%s' >/dev/null 2>&1 &"):format(
      cellflow.path, lab.cell, desk:at("err"), desk:at("out"), desk:at("code")))
    labs.wait_for("ready", 10, function() return (labs.read_file(desk:at("err")) or ""):find("ready") end)
    send(10)
    labs.wait_for("head's end", 10, function() return lines(desk:at("out")) == 1 end)
    local seed = 1
    labs.wait_for("its end", 10, function()
      seed = seed + 1
      send(1, seed)
      return lines(desk:at("code")) == 1
    end)
    assert.equal("0\n", labs.read_file(desk:at("code")))
    assert.equal(1, #cellflow.parse_lines(labs.read_file(desk:at("out"))))
    local err = labs.read_file(desk:at("err"))
    assert.equal(3, select(2, err:gsub("\n", "")), err)
  end)

  it("whose reader has gone is named once while the other one goes on", function()
    local path, reader = fifo()
    local policy = desk:policy(('output "json" { path = "-" }\noutput "json" { path = %q }'):format(desk:at("file")))
    local run = start({ args = { "-c", policy }, stdout = path })
    descriptors.close(reader)
    send(100)
    run:says("its reader has gone")
    send(100, 2)
    assert.equal(0, run:finish())
    assert.equal(200, #run:records(desk:at("file")))
    local warning = 'cellflow: warning: output "-": its reader has gone; records for it are dropped until a reload ' ..
      "(SIGHUP)\n"
    local _, count = run:stderr():gsub("its reader has gone", "")
    assert.equal(1, count)
    assert.matches(warning, run:stderr(), 1, true)
    local n = numbers(run, "-")
    assert.equal(200, n.dropped + n.unwritten)
    assert.equal(200, numbers(run, desk:at("file")).written)
  end)

  it("on a full disk waits in the buffer, drops beyond it, and goes on when there is room", function()
    labs.must(("mkdir %s && mount -t tmpfs -o size=32m none %s"):format(desk:at("full"), desk:at("full")))
    local file, filler = desk:at("full/records"), desk:at("full/filler")
    labs.run(("head -c 40000000 /dev/zero >%s"):format(filler))
    local run = start({ args = { "-c", desk:policy(('output "json" { path = %q }'):format(file)) } })
    send(2000)
    cellflow.wait_for("the buffer to hold them", 10, function()
      run:signal("USR1")
      return run:stderr():match("2000 records = %d+ written")
    end)
    assert.equal(2000, numbers(run, file).unwritten + numbers(run, file).written)
    os.remove(filler)
    labs.wait_for("the buffered records", 10, function() return lines(file) == 2000 end)
    labs.run(("head -c 40000000 /dev/zero >%s"):format(filler))
    send(20000, 2)
    cellflow.wait_for("drops", 10, function()
      run:signal("USR1")
      return run:stderr():match("22000 records = %d+ written %+ [1-9]%d* dropped")
    end)
    os.remove(filler)
    send(100, 3)
    assert.equal(0, run:finish())
    local n = numbers(run, file)
    assert.equal(22100, n.records)
    assert.equal(22100, n.written + n.dropped)
    assert.equal(n.written, #run:records(file))
    assert.matches(("%d LOST"):format(n.dropped), run:stderr(), 1, true)
  end)

  it("begins on a line of its own in a file whose last line was cut off", function()
    local file, stdout = desk:write("file", '{"whole":1}\n{"cut'), desk:write("stdout", '{"cut')
    local policy = desk:policy(('output "json" { path = %q }\noutput "json" { path = "-" }'):format(file))
    local run = start({ args = { "-c", policy }, stdout = stdout, append = true })
    send(3)
    assert.equal(0, run:finish())
    for path, head in pairs({ [file] = '{"whole":1}\n{"cut\n', [stdout] = '{"cut\n' }) do
      local text = labs.read_file(path)
      assert.equal(head, text:sub(1, #head))
      assert.equal(3, #cellflow.parse_lines(text:sub(#head + 1)))
    end
  end)

  it("to a unix socket is a stream of lines", function()
    local listener = keep(descriptors.listen(desk:at("sock")))
    local run = start({ args = { "-c", desk:policy(('output "json" { path = "unix:%s" }'):format(desk:at("sock"))) } })
    local connection = keep(assert(descriptors.accept(listener)))
    send(500)
    local text = ""
    labs.wait_for("500 lines", 10, function()
      text = text .. descriptors.drain(connection)
      return select(2, text:gsub("\n", "")) == 500
    end)
    assert.equal(500, #cellflow.parse_lines(text))
    descriptors.close(connection)
    fds[#fds] = nil
    send(10, 2)
    run:says("its reader has gone")
    run:signal("HUP")
    run:says("generation 2 is in force")
    connection = keep(assert(descriptors.accept(listener)))
    send(7, 3)
    assert.equal(0, run:finish())
    local records = cellflow.parse_lines(descriptors.drain(connection))
    assert.is_true(#records >= 7)
  end)

  it("to a file by > replaces it and by >> adds to it", function()
    local path = desk:write("stdout", "earlier\n")
    local run = start({ stdout = path })
    send(5)
    assert.equal(0, run:finish())
    assert.equal(5, #run:records())
    run = start({ stdout = path, append = true })
    send(7, 2)
    assert.equal(0, run:finish())
    assert.equal(12, #run:records(path))
  end)

  it("to one file from two runs mixes lines, never parts of them", function()
    local path = desk:at("shared")
    local runs = {}
    for i = 1, 2 do runs[i] = start({ stdout = path, append = true }) end
    for seed = 1, 5 do send(1000, seed) end
    for i = 1, 2 do assert.equal(0, runs[i]:finish()) end
    assert.equal(10000, #runs[1]:records(path))
  end)

  it("that cannot take the summary's line has lost no record by that", function()
    local path, reader = fifo()
    keep(reader)
    descriptors.fill(reader)
    local run = cellflow.start({ args = { "-c", desk:policy(), "--summary-record", "--fail-on", "loss" },
      stdout = path }):ready()
    assert.equal(0, run:finish(20))
    assert.matches("nothing lost", run:stderr(), 1, true)
  end)
end)
