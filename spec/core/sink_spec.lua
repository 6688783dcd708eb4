-- SPDX-License-Identifier: MIT
--
-- Outputs as the worker writes them: whole lines, never blocking, and what a successor makes of a write that was cut
-- off.
local ffi = require("ffi")
local descriptors = require("descriptors")
local helper = require("spec.helper")
local sinks = require("sink")

local LINE = ("x"):rep(99) -- 100 bytes with its newline

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local function target(kind, path)
  local output, err, fd = ffi.new("struct cf_plan_output"), ffi.new("struct cf_error"), ffi.new("int[1]")
  output.kind, output.path, output.place = kind, path, "p.lua:7"
  if helper.core.cf_sink_open_target(output, fd, err) < 0 then return nil, ffi.string(err.text), tonumber(err.kind) end
  return fd[0]
end

describe("sink", function()
  local path, sink, reader

  before_each(function()
    path = os.tmpname()
  end)

  after_each(function()
    if sink then sink:close() end
    if reader then descriptors.close(reader) end
    sink, reader = nil, nil
    os.remove(path)
  end)

  local function on_file(flags)
    sink = sinks.open(descriptors.open(path, descriptors.O_WRONLY + (flags or descriptors.O_APPEND)))
    return sink
  end

  local function on_pipe(flags)
    local writer
    reader, writer = descriptors.pipe(flags or descriptors.O_NONBLOCK, 4096)
    sink = sinks.open(writer)
    return sink
  end

  describe("writes", function()
    it("what it accepted, in order", function()
      on_file()
      sink:put("one")
      sink:put("two")
      assert.equal(2, sink:buffered())
      assert.equal(0, sink:flush())
      sink:put("three")
      assert.equal(0, sink:flush())
      assert.equal("one\ntwo\nthree\n", read_file(path))
      assert.equal(0, sink:buffered())
    end)

    it("a line in one piece across the end of its buffer", function()
      on_pipe()
      local big = ("y"):rep(1000003)
      for i = 1, 4 do assert.is_true(sink:put(i .. big)) end
      while sink:tail() < 3 * #big do
        assert.equal(1, sink:flush())
        descriptors.drain(reader)
      end
      assert.is_true(sink:put("the line that wraps " .. big))
      assert.is_true(sink.head > sinks.BUFFER)
      local left = sink.head - sink:tail()
      sink = sinks.open(descriptors.open(path, descriptors.O_WRONLY), sink)
      assert.equal(0, sink:flush())
      local text = read_file(path)
      assert.equal(left, #text)
      local last = "\nthe line that wraps " .. big .. "\n"
      assert.is_true(last == text:sub(-#last))
    end)

    it("from the same memory again when everything has left", function()
      on_file()
      local room = ffi.new("size_t[1]")
      local first = helper.core.cf_sink_space(sink.sink, sink.head, room)
      for i = 1, 3 do
        sink:put(("%d"):format(i) .. LINE)
        assert.is_true(helper.core.cf_sink_space(sink.sink, sink.head, room) > first)
        assert.equal(0, sink:flush())
        assert.is_true(helper.core.cf_sink_space(sink.sink, sink.head, room) == first)
        assert.equal(i, sink:written())
      end
      assert.equal(sinks.BUFFER, tonumber(room[0]))
    end)

    it("the rest of a short write later, without a seam", function()
      on_pipe()
      for i = 1, 100 do sink:put(("%04d"):format(i) .. LINE) end
      assert.equal(1, sink:flush())
      assert.equal(4096, sink:tail())
      local text = descriptors.drain(reader)
      while sink:flush() == 1 do text = text .. descriptors.drain(reader) end
      text = text .. descriptors.drain(reader)
      local count = 0
      for line in text:gmatch("[^\n]*\n") do
        count = count + 1
        assert.equal(("%04d"):format(count) .. LINE .. "\n", line)
      end
      assert.equal(100, count)
      assert.equal(0, tonumber(sink.progress.errors))
      assert.equal(100, sink:written())
    end)

    it("to a pipe that nobody reads what fits, and keeps the rest", function()
      on_pipe()
      local accepted = 0
      while sink:put(LINE) do
        accepted = accepted + 1
        if accepted % 1000 == 0 then sink:flush() end
      end
      assert.equal(1, sink:flush())
      assert.equal(math.floor((sinks.BUFFER + 4096) / 100), accepted)
      assert.is_false(sink:put(LINE))
      assert.equal(0, tonumber(sink.progress.broken))
    end)

    it("to a descriptor that blocks without ever waiting", function()
      on_pipe(0)
      for _ = 1, 1000 do sink:put(LINE) end
      assert.equal(1, sink:flush()) -- this spec would hang
      assert.equal(1, sink:flush())
      assert.equal(4096, sink:tail())
      sink.progress.guard = 1
      assert.equal(1, sink:flush())
      assert.equal(1, sink.progress.guard)
    end)

    it("nothing more when the reader has gone", function()
      on_pipe()
      descriptors.close(reader)
      reader = nil
      sink:put(LINE)
      descriptors.ignoring_sigpipe(function() assert.equal(-1, sink:flush()) end)
      assert.equal(1, tonumber(sink.progress.broken))
      assert.equal(1, tonumber(sink.progress.errors))
      assert.equal(-1, sink:flush())
      assert.equal(1, tonumber(sink.progress.errors))
      assert.equal(1, sink:buffered())
    end)

    it("again once a file can grow", function()
      sink = sinks.open(descriptors.memory_that_cannot_grow())
      sink:put(LINE)
      assert.equal(1, sink:flush())
      assert.equal(1, sink:flush())
      assert.equal(2, tonumber(sink.progress.errors))
      assert.equal(1, tonumber(sink.progress.last_errno))
      assert.equal(0, tonumber(sink.progress.broken))
      sink = sinks.open(descriptors.open(path, descriptors.O_WRONLY), sink)
      assert.equal(0, sink:flush())
      assert.equal(LINE .. "\n", read_file(path))
    end)

    it("nothing more to a device that refuses, and says so once", function()
      sink = sinks.open(descriptors.open("/dev/full", descriptors.O_WRONLY))
      sink:put(LINE)
      assert.equal(-1, sink:flush())
      assert.equal(-1, sink:flush())
      assert.equal(1, tonumber(sink.progress.errors))
      assert.equal(28, tonumber(sink.progress.last_errno))
    end)

    it("nothing more to a terminal that hung up", function()
      local master, terminal = descriptors.terminal()
      sink = sinks.open(terminal)
      descriptors.close(master)
      sink:put(LINE)
      assert.equal(-1, sink:flush())
      assert.equal(5, tonumber(sink.progress.last_errno))
      assert.equal(1, tonumber(sink.progress.broken))
    end)
  end)

  describe("after a crash inside write", function()
    for _, flags in ipairs({ 0, descriptors.O_APPEND }) do
      local name = flags == 0 and "with an offset" or "that is appended to"

      for _, landed in ipairs({ 0, 1, 99, 100, 150, 200 }) do
        it(("finds that %d of 200 bytes are in a file %s"):format(landed, name), function()
          on_file(flags)
          sink:put("earlier")
          sink:flush()
          for letter in ("ab"):gmatch(".") do sink:put(letter:rep(99)) end
          sink:die_in_write(200, landed)
          sink:recover()
          assert.equal(8 + landed, sink:tail())
          assert.equal(0, sink:flush())
          assert.equal("earlier\n" .. ("a"):rep(99) .. "\n" .. ("b"):rep(99) .. "\n", read_file(path))
          assert.equal(0, tonumber(sink.progress.uncertain))
          assert.equal(3, sink:written())
        end)
      end
    end

    it("never writes twice into a file that others append to", function()
      on_file()
      for letter in ("abc"):gmatch(".") do sink:put(letter:rep(99)) end
      sink:die_in_write(200, 200)
      local other = descriptors.open(path, descriptors.O_WRONLY + descriptors.O_APPEND)
      descriptors.write(other, "somebody else's line\n")
      descriptors.close(other)
      sink:recover()
      assert.equal(2, tonumber(sink.progress.uncertain))
      assert.equal(0, sink:flush())
      assert.equal(("a"):rep(99) .. "\n" .. ("b"):rep(99) .. "\nsomebody else's line\n\n" .. ("c"):rep(99) .. "\n",
        read_file(path))
    end)

    it("takes nobody's log line for its own bytes where stderr is the same file", function()
      on_file()
      for letter in ("abc"):gmatch(".") do sink:put(letter:rep(99)) end
      sink:die_in_write(200, 100)
      local own = descriptors.duplicate(2)
      descriptors.replace(2, sink.sink.fd)
      descriptors.write(2, "a log line\n")
      sink:recover()
      descriptors.replace(2, own)
      descriptors.close(own)
      assert.equal(0, sink:flush())
      assert.equal(("a"):rep(99) .. "\na log line\n\n" .. ("c"):rep(99) .. "\n", read_file(path))
      assert.equal(2, tonumber(sink.progress.uncertain))
    end)

    it("goes on behind a file that was truncated meanwhile", function()
      on_file()
      sink:put("earlier")
      sink:flush()
      sink:put("lost?")
      sink:put("next")
      sink:die_in_write(6, 6)
      io.open(path, "w"):close()
      sink:recover()
      sink:flush()
      assert.equal("\nnext\n", read_file(path))
      assert.equal(1, tonumber(sink.progress.uncertain))
    end)

    it("counts the lines of a pipe's write as uncertain and keeps the next apart", function()
      on_pipe()
      for letter in ("abc"):gmatch(".") do sink:put(letter:rep(99)) end
      sink:die_in_write(150, 30)
      sink:recover()
      assert.equal(2, tonumber(sink.progress.uncertain))
      assert.equal(0, sink:flush())
      assert.equal(("a"):rep(30) .. "\n" .. ("c"):rep(99) .. "\n", descriptors.drain(reader))
      assert.equal(1, sink:written())
    end)

    it("believes a write whose end was noted", function()
      on_pipe()
      sink:put("a")
      sink:put("b")
      sink:die_in_write(2, 2)
      sink.progress.tail = 2
      sink:recover()
      assert.equal(0, tonumber(sink.progress.uncertain))
      assert.equal(0, sink:flush())
      assert.equal("a\nb\n", descriptors.drain(reader))
      assert.equal(2, sink:written())
    end)

    it("counts what was written before the death, also when its bytes have been replaced in the buffer", function()
      on_pipe()
      for _, lines in ipairs({ 0, 1, 2 }) do -- of the writer's copies, which one was noted last
        for _ = 1, lines do
          sink:put("a")
          sink:flush()
        end
        local before = sink:written()
        sink:put("b")
        sink:die_in_write(2, 2)
        sink.progress.tail = sink.head -- killed before its lines were counted
        sink:recover()
        for _ = 1, 42 do sink:put(("c"):rep(99999)) end
        assert.equal(before + 1, sink:written())
        while sink:flush() == 1 do descriptors.drain(reader) end
        descriptors.drain(reader)
      end
    end)

    it("has a whole count when it is killed while it notes one", function()
      on_pipe()
      sink:put("a")
      sink:flush()
      for copy = 0, 1 do
        local other = sink.progress.written[copy]
        if other.to < sink.progress.tail then other.lines = 12345 end
      end
      assert.equal(1, sink:written())
      sink:put("b")
      sink:flush()
      assert.equal(2, sink:written())
    end)

    it("survives a progress that makes no sense", function()
      on_pipe()
      sink:put("a")
      for _, wrong in ipairs({
        { 5, 0, 0 }, { 2 ^ 63, 2 ^ 62, 2 ^ 63 }, { 0, 2 ^ 60, 0 }, { 3, 1, 3 }, { 0, 4294967297, 0 },
      }) do
        sink.progress.tail, sink.progress.flying, sink.progress.flying_tail = wrong[1], wrong[2], wrong[3]
        sink:recover()
        assert.is_true(sink:tail() <= sink.head)
        assert.equal(0, tonumber(sink.progress.flying))
        assert.is_true(sink:buffered() <= 1)
      end
    end)
  end)

  describe("begins", function()
    for _, flags in ipairs({ 0, descriptors.O_APPEND }) do
      it("on a line of its own where the last one was cut off, flags " .. flags, function()
        local fd = descriptors.open(path, descriptors.O_WRONLY + flags)
        descriptors.write(fd, "whole\nhal")
        sink = sinks.open(fd)
        sink:begin()
        sink:put("next")
        assert.equal(0, sink:flush())
        assert.equal("whole\nhal\nnext\n", read_file(path))
      end)
    end

    it("without a newline of its own after a whole line, or in an empty file", function()
      on_file()
      sink:begin()
      sink:put("one")
      sink:flush()
      sink:begin()
      sink:put("two")
      sink:flush()
      assert.equal("one\ntwo\n", read_file(path))
    end)

    it("with a whole line in a file that took the place of another", function()
      on_pipe()
      sink:put(("a"):rep(5000))
      sink:put("next")
      assert.equal(1, sink:flush())
      local next_sink = sinks.open(descriptors.open(path, descriptors.O_WRONLY), sink)
      sink = next_sink
      sink:begin(reader + 1000) -- no such descriptor: another target
      assert.equal(0, sink:flush())
      assert.equal("next\n", read_file(path))
      assert.equal(1, tonumber(sink.progress.uncertain))
      assert.equal(1, sink:written())
    end)

    it("with the rest of the line where the target stayed the same", function()
      on_pipe()
      sink:put(("a"):rep(5000))
      assert.equal(1, sink:flush())
      local text = descriptors.drain(reader)
      sink:begin(sink.sink.fd)
      assert.equal(0, sink:flush())
      assert.equal(("a"):rep(5000) .. "\n", text .. descriptors.drain(reader))
    end)
  end)

  describe("target", function()
    local FILE, UNIX = ffi.C.CF_OUTPUT_FILE, ffi.C.CF_OUTPUT_UNIX

    it("is appended to", function()
      local file = io.open(path, "w")
      file:write("before\n")
      file:close()
      sink = sinks.open(assert(target(FILE, path)))
      sink:put("after")
      sink:flush()
      assert.equal("before\nafter\n", read_file(path))
    end)

    for what, case in pairs({
      ["a directory"] = { FILE, "/tmp", 'p.lua:7: output "/tmp": cannot open: Is a directory' },
      ["a directory that is missing"] = { FILE, "/nope/x",
        'p.lua:7: output "/nope/x": cannot open: No such file or directory' },
      ["a socket without a listener"] = { UNIX, "/nope.sock",
        'p.lua:7: output "unix:/nope.sock": cannot connect: No such file or directory (is its reader running?)' },
      ["a path longer than a socket's address"] = { UNIX, "/" .. ("s"):rep(200), ("s"):rep(200) },
    }) do
      it("refuses " .. what, function()
        local fd, text, kind = target(case[1], case[2])
        assert.is_nil(fd)
        assert.truthy(text:find(case[3], 1, true), text)
        assert.equal(tonumber(ffi.C.CF_FAIL_OUTPUT), kind)
      end)
    end

    it("refuses a FIFO that nobody reads, at once", function()
      os.remove(path)
      assert.equal(0, os.execute("mkfifo " .. path))
      local fd, text = target(FILE, path)
      assert.is_nil(fd)
      assert.truthy(text:find("a FIFO that nobody reads", 1, true), text)
    end)
  end)
end)
