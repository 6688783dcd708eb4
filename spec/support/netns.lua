-- SPDX-License-Identifier: MIT
-- Real network namespaces for specs: a namespace with one end of a veth pair in it. Names hold this process's id, so
-- that runs side by side do not meet. What is watched or attached there is left to the spec.
local ffi = require("ffi")
ffi.cdef("int getpid(void);")

local M = {}
local made = {}
local serial = 0

-- Runs a shell command; returns whether it succeeded and what it printed (both streams).
function M.run(format, ...)
  local command = select("#", ...) > 0 and format:format(...) or format
  local pipe = assert(io.popen("{ " .. command .. "; } 2>&1; echo \" $?\"", "r"))
  local text = pipe:read("*a")
  pipe:close()
  local output, status = text:match("^(.*) (%d+)\n$")
  return status == "0", output
end

function M.must(...)
  local ok, output = M.run(...)
  if not ok then error("command failed: " .. string.format(...) .. ": " .. output, 2) end
  return output
end

-- A namespace { name, path, inside = "e0", outside = interface here, address, gateway } with an address on both
-- ends. `bare`: without the veth pair.
function M.make(bare)
  serial = serial + 1
  local id = ("cf%d-%d"):format(ffi.C.getpid(), serial)
  local net = ffi.C.getpid() % 200 + 20
  local ns = {
    name = id, path = "/run/netns/" .. id, inside = "e0", outside = ("v%d-%d"):format(ffi.C.getpid(), serial),
    address = ("10.%d.%d.2"):format(net, serial % 250), gateway = ("10.%d.%d.1"):format(net, serial % 250),
  }
  M.must("ip netns add %s", id)
  made[id] = ns
  M.must("ip -n %s link set lo up", id)
  if not bare then
    -- The host's end has a namespace of its own: nothing of a spec touches the machine's own interfaces.
    ns.peer = id .. "-p"
    M.must("ip netns add %s", ns.peer)
    M.must("ip -n %s link add e0 type veth peer name %s netns %s", id, ns.outside, ns.peer)
    M.must("ip -n %s addr add %s/24 dev e0", id, ns.address)
    M.must("ip -n %s addr add %s/24 dev %s", ns.peer, ns.gateway, ns.outside)
    M.must("ip -n %s link set e0 up", id)
    M.must("ip -n %s link set %s up", ns.peer, ns.outside)
  end
  return ns
end

-- Sends `count` echo requests from inside; each is answered by the peer.
function M.ping(ns, count)
  M.must("ip netns exec %s ping -q -i 0.01 -W 1 -c %d %s", ns.name, count, ns.gateway)
end

function M.remove(ns)
  made[ns.name] = nil
  M.run("ip netns del %s", ns.name)
  if ns.peer then M.run("ip netns del %s", ns.peer) end
end

-- For after_each: whatever a spec made, also when it failed.
function M.remove_all()
  for _, ns in pairs(made) do M.remove(ns) end
end

-- Calls `check` until it is true, for at most `seconds`; returns its last answer.
function M.eventually(check, seconds)
  local deadline = os.time() + (seconds or 10) + 1
  local answer = check()
  while not answer and os.time() < deadline do
    M.run("sleep 0.02")
    answer = check()
  end
  return answer
end

return M
