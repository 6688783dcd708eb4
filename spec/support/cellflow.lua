-- SPDX-License-Identifier: MIT
--
-- The executable as specs run it: start it, wait until it is ready, signal it, wait for its end, read what it wrote.
-- Every wait has a deadline. What was started is ended, and its files are removed, by stop_all(), for after_each.
local ffi = require("ffi")
local bit = require("bit")
local dkjson = require("dkjson")
local system = require("system")
local helper = require("spec.helper")
local strict_json = require("strict_json")

ffi.cdef([[
int posix_spawn(int *pid, const char *path, const void *file_actions, const void *attributes,
  const char *const *argv, char *const *environment);
int waitpid(int pid, int *status, int options);
int kill(int pid, int signal);
extern char **environ;
]])

local WNOHANG = 1
local SIGNALS = { HUP = 1, INT = 2, KILL = 9, USR1 = 10, TERM = 15, CONT = 18, STOP = 19 }

local M = { path = helper.build .. "/cellflow" }
local Run = {}
Run.__index = Run
local running = {}

local function read_file(path)
  local file = io.open(path, "r")
  if not file then return nil end
  local text = file:read("*a")
  file:close()
  return text
end

local function quote(text)
  return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end

local function spawn(command)
  local pid = ffi.new("int[1]")
  local argv = ffi.new("const char *[4]", { "sh", "-c", command })
  assert(ffi.C.posix_spawn(pid, "/bin/sh", nil, nil, argv, ffi.C.environ) == 0, "posix_spawn")
  return pid[0]
end

--- Call `fn` until it returns something true, for at most `seconds`; returns that, or an error naming `what`.
function M.wait_for(what, seconds, fn)
  local deadline = system.monotime() + seconds
  repeat
    local result = fn()
    if result then return result end
    system.sleep(0.005)
  until system.monotime() > deadline
  error(("waited %g seconds for %s"):format(seconds, what), 2)
end

--- Send a signal, by its name without SIG, to one process.
function M.kill(pid, name)
  assert(pid and pid > 1, "no such process to signal")
  local number = assert(SIGNALS[name], name)
  return ffi.C.kill(pid, number) == 0
end

--- The children of a process.
function M.children(pid)
  local pids = {}
  for child in (read_file(("/proc/%d/task/%d/children"):format(pid, pid)) or ""):gmatch("%d+") do
    pids[#pids + 1] = tonumber(child)
  end
  return pids
end

--- The child of a process whose name is `name` (as /proc/PID/comm has it), or nil.
function M.child(pid, name)
  for _, child in ipairs(M.children(pid)) do
    local comm = read_file(("/proc/%d/comm"):format(child))
    if comm and comm:match("%C*") == name then return child end
  end
end

--- Whether a process is there; one that only waits to be reaped is not.
function M.is_alive(pid)
  local stat = read_file(("/proc/%d/stat"):format(pid))
  return stat ~= nil and not stat:match("%) [ZX] ")
end

--- Start `cellflow run` with `args` (a list). Further options: verb in place of run, env (name -> value), stdout (path;
--- a file of our own when absent; a FIFO needs its reader first), append (true: >> in place of >), shell (text before
--- the command, like "ulimit -n 9;"), before (a command that becomes the one behind it, like "setpriv ...").
function M.start(options)
  local words = { "exec", options.before or "", "/usr/bin/env" }
  for name, value in pairs(options.env or {}) do words[#words + 1] = quote(name .. "=" .. value) end
  words[#words + 1] = quote(M.path)
  words[#words + 1] = options.verb or "run"
  for _, arg in ipairs(options.args or {}) do words[#words + 1] = quote(arg) end
  local self = setmetatable({ stdout_path = options.stdout or os.tmpname(), stderr_path = os.tmpname() }, Run)
  self.owns_stdout = not options.stdout
  self.pid = spawn(("%s %s %s%s 2>%s </dev/null"):format(options.shell or "", table.concat(words, " "),
    options.append and ">>" or ">", quote(self.stdout_path), quote(self.stderr_path)))
  running[#running + 1] = self
  return self
end

--- All of stderr so far.
function Run:stderr()
  return read_file(self.stderr_path) or ""
end

--- All of stdout so far.
function Run:stdout()
  return read_file(self.stdout_path) or ""
end

--- Wait until stderr has `text` (plain); an error when the process ends first.
function Run:says(text, seconds)
  M.wait_for('"' .. text .. '"', seconds or 10, function()
    local ended = self:ended()
    if self:stderr():find(text, 1, true) then return true end
    if ended then error(('ended with %d before it said "%s":\n%s'):format(ended, text, self:stderr()), 0) end
  end)
  return self
end

--- Wait until it watches; returns itself.
function Run:ready(seconds)
  return self:says("cellflow: ready", seconds)
end

--- The process ids of supervisor and worker; the latter is nil while there is none.
function Run:pids()
  return self.pid, M.child(self.pid, "cellflow-worker")
end

--- Wait for a worker, for one with another id than `old` when that is given.
function Run:worker(old)
  return M.wait_for("a worker", 10, function()
    local _, worker = self:pids()
    return worker ~= old and worker
  end)
end

--- The collector's process id, or nil while there is none.
function Run:collector()
  return M.child(self.pid, "cf-collector")
end

--- Signal the supervisor.
function Run:signal(name)
  assert(not self.code, "has ended already")
  return M.kill(self.pid, name)
end

--- The exit code (128 + signal when one ended it), or nil while it runs.
function Run:ended()
  if self.code then return self.code end
  local status = ffi.new("int[1]")
  if ffi.C.waitpid(self.pid, status, WNOHANG) ~= self.pid then return nil end
  local signal = bit.band(status[0], 0x7f)
  self.code = signal ~= 0 and 128 + signal or bit.band(bit.rshift(status[0], 8), 0xff)
  return self.code
end

--- Wait for its end; returns the exit code.
function Run:wait(seconds)
  return M.wait_for("cellflow to end", seconds or 10, function() return self:ended() end)
end

--- SIGTERM, then wait; returns the exit code.
function Run:finish(seconds)
  self:signal("TERM")
  return self:wait(seconds)
end

--- Every line of `text` as a table; an error for a line that is not one strict JSON object, or is not ended.
function M.parse_lines(text)
  local list = {}
  assert(text == "" or text:sub(-1) == "\n", "the last line is not ended")
  for line in text:gmatch("([^\n]*)\n") do
    -- dkjson gives nested values but takes more than JSON; the other reader is strict but flat.
    if strict_json.available then
      local ok, why = strict_json.is_object(line, #line)
      if not ok then error(("line %d: %s: %s"):format(#list + 1, why or "no object", line), 2) end
    end
    local value, _, why = dkjson.decode(line)
    if type(value) ~= "table" then error(("line %d: %s: %s"):format(#list + 1, why or "no object", line), 2) end
    list[#list + 1] = value
  end
  return list
end

--- The records in `path` (stdout when absent), the summary left out; while it runs, without a line half written.
function Run:records(path)
  local list, text = {}, read_file(path or self.stdout_path) or ""
  if not self.code then text = text:match("^.*\n") or "" end
  for _, record in ipairs(M.parse_lines(text)) do
    if record.type ~= "cellflow_summary" then list[#list + 1] = record end
  end
  return list
end

--- The summary in `path` (stdout when absent): the last line; needs --summary-record and the end of the run.
function Run:summary(path)
  local line = ("\n" .. (read_file(path or self.stdout_path) or "")):match("^.*\n([^\n]*)\n$")
  local value = line and M.parse_lines(line .. "\n")[1]
  assert(value and value.type == "cellflow_summary", "the last line is no summary")
  return value
end

--- End it for good, whatever it does, and remove its files.
function Run:stop()
  local workers = M.children(self.pid)
  if not self:ended() then
    M.kill(self.pid, "CONT")
    M.kill(self.pid, "KILL")
    self:wait(10)
  end
  for _, worker in ipairs(workers) do
    M.kill(worker, "KILL")
    M.wait_for("the worker to end", 10, function() return not M.is_alive(worker) end)
  end
  os.remove(self.stderr_path)
  if self.owns_stdout then os.remove(self.stdout_path) end
end

--- For after_each: end all that was started.
function M.stop_all()
  local all = running
  running = {}
  for _, run in ipairs(all) do run:stop() end
end

return M
