-- SPDX-License-Identifier: MIT
--
-- Exactly the packets that a spec names, from one side of a lab to the other: datagrams and connections with both ports
-- chosen, and IP payload of any protocol. What becomes of them is the spec's to look at.
local lab = require("spec.support.lab")

local M = {}

local PYTHON = [[python3 -c '
import socket, sys
kind, own, peer, own_port, peer_port, count, size = sys.argv[1:]
own_port, peer_port, count = int(own_port), int(peer_port), int(count)
family = socket.AF_INET6 if ":" in own else socket.AF_INET
payload = b"x" * int(size)
if kind == "udp":
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.bind((own, own_port))
    for i in range(count):
        try: s.sendto(payload, (peer, peer_port))
        except OSError: pass # what the one before was answered by
elif kind == "raw":
    s = socket.socket(family, socket.SOCK_RAW, peer_port)
    for i in range(count): s.sendto(payload, (peer, 0))
else: # count connections at once, from own_port on
    open = []
    for i in range(count):
        s = socket.socket(family, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((own, own_port + i))
        s.settimeout(5)
        s.connect((peer, peer_port))
        open.append(s)
    for s in open:
        if kind == "reset": s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
        else:
            s.sendall(payload)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536): pass
        s.close()
' %s %s %s %d %d %d %d]]

local function talk(here, kind, from, to, options)
  options = options or {}
  local family, side = options.family or 4, options.side or "cell"
  local own, peer = lab["cell" .. family], lab["peer" .. family]
  if side == "peer" then own, peer = peer, own end
  here:exec(side, PYTHON:format(kind, own, peer, from, to, options.count or 1, options.size or 10))
end

-- options of all: count (1), size of the payload (10), family (4), side: "cell" or "peer" (who sends).

--- Datagrams of one flow.
function M.udp(here, from, to, options) talk(here, "udp", from, to, options) end

--- Packets of an IP protocol.
function M.raw(here, protocol, options) talk(here, "raw", 0, protocol, options) end

--- Connections at the same time, from ports `from` and up, that end by FIN; the other side must listen and close.
function M.tcp(here, from, to, options) talk(here, "tcp", from, to, options) end

--- The same, ended by RST.
function M.tcp_reset(here, from, to, options) talk(here, "reset", from, to, options) end

--- The records of flows from port `from` of either side, in order.
function M.records_from(records, from)
  local found = {}
  for _, record in ipairs(records) do
    if record.src_port == from then found[#found + 1] = record end
  end
  return found
end

--- The one record of a flow from that port.
function M.record_from(records, from)
  local found = M.records_from(records, from)
  if #found ~= 1 then error(("%d records of a flow from port %d"):format(#found, from), 2) end
  return found[1]
end

return M
