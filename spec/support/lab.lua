-- SPDX-License-Identifier: MIT
--
-- Labs for specs: scripts/lab with a name of its own, commands inside it, flowgen as sender and sink, nft counters
-- as the independent witness. Every lab must be ended with :down(), best in after_each.
local ffi = require("ffi")
local json = require("dkjson")
local system = require("system")

ffi.cdef("int getpid(void);")

local M = {
  peer4 = "10.77.0.1", peer6 = "fd77::1",
  cell4 = "10.77.0.2", cell6 = "fd77::2",
}
local Lab = {}
Lab.__index = Lab
local made = 0

--- Run a shell command; returns its output, stderr included, and its exit code.
function M.run(command)
  local pipe = assert(io.popen("{ " .. command .. "\n} 2>&1; printf '\\n%d' $?"))
  local text = pipe:read("*a")
  pipe:close()
  local output, code = text:match("^(.*)\n(%d+)$")
  return output, tonumber(code)
end

--- Like run, but an error when the exit code is not 0.
function M.must(command)
  local output, code = M.run(command)
  if code ~= 0 then error(("exit code %d: %s\n%s"):format(code, command, output), 2) end
  return output
end

--- Call `fn` until it returns something true, for at most `seconds`; returns that, or an error naming `what`.
function M.wait_for(what, seconds, fn)
  local deadline = system.monotime() + seconds
  repeat
    local result = fn()
    if result then return result end
    system.sleep(0.01)
  until system.monotime() > deadline
  error(("waited %g seconds for %s"):format(seconds, what), 2)
end

function M.read_file(path)
  local file = io.open(path, "r")
  if not file then return nil end
  local text = file:read("*a")
  file:close()
  return text
end

--- Why labs cannot be made here, or nil when they can.
function M.lacking()
  if M.run("id -u"):match("%d+") ~= "0" then return "needs root (network namespaces)" end
end

--- A name that no other lab on this host has.
function M.name()
  made = made + 1
  return ("spec-%d-%d"):format(ffi.C.getpid(), made)
end

--- A lab that is up. Its namespaces are lab.cell and lab.peer (names below /run/netns).
function M.up()
  local name = M.name()
  M.must("scripts/lab up --name " .. name)
  return setmetatable({ name = name, cell = name .. "-cell", peer = name .. "-peer", processes = {} }, Lab)
end

--- A shell command inside "cell" or "peer".
function Lab:exec(side, command)
  return M.must(("ip netns exec %s-%s %s"):format(self.name, side, command))
end

--- Start a command that stays, inside "cell" or "peer"; returns { pid, path of its output }. down() ends it.
function Lab:start(side, command)
  local path = os.tmpname()
  local pid = M.must(("ip netns exec %s-%s %s >%s 2>&1 </dev/null & echo $!"):format(self.name, side, command, path))
  local process = { pid = tonumber(pid), path = path }
  table.insert(self.processes, process)
  return process
end

--- SIGTERM, then wait until it is gone; returns all that it printed.
function Lab.stop(_, process)
  if not process.output then
    M.run("kill " .. process.pid)
    M.wait_for("process " .. process.pid .. " to end", 10, function()
      -- Its parent is init by now, which may take its time with a zombie.
      local stat = M.read_file(("/proc/%d/stat"):format(process.pid))
      return not stat or stat:match("%) (%a)") == "Z"
    end)
    process.output = M.read_file(process.path)
    os.remove(process.path)
  end
  return process.output
end

--- flowgen as sink in the peer, ready when this returns. `options`: text of further options, or nil.
function Lab:serve(options)
  local sink = self:start("peer", "build/flowgen --serve " .. (options or ""))
  M.wait_for("flowgen --serve", 5, function() return M.read_file(sink.path):find("serving", 1, true) end)
  return sink
end

--- flowgen from the cell to the peer; returns its report as a table.
function Lab:send(options)
  local command = ("build/flowgen --to4 %s --to6 %s %s"):format(M.peer4, M.peer6, options or "")
  return assert(json.decode(self:exec("cell", command)))
end

--- Load nft text in the cell (or another side).
function Lab:nft(text, side)
  self:exec(side or "cell", "nft -f - <<'NFT'\n" .. text .. "\nNFT")
end

--- The named nft counters of the cell: { name = { packets =, bytes = } }.
function Lab:counters(side)
  local found = {}
  for _, item in ipairs(json.decode(self:exec(side or "cell", "nft -j list counters")).nftables) do
    if item.counter then found[item.counter.name] = item.counter end
  end
  return found
end

--- End what was started and remove the lab. May be called twice.
function Lab:down()
  for _, process in ipairs(self.processes) do self:stop(process) end
  M.must("scripts/lab down --name " .. self.name)
end

return M
