-- SPDX-License-Identifier: MIT
--
-- Sockets of this process in the two namespaces of a lab, for traffic that flowgen does not make: bulk TCP with the
-- kernel's own count of segments, UDP segmentation, raw frames, a tun device. close_all() is for after_each.
local ffi = require("ffi")
local lab = require("spec.support.lab")
local packet = require("packet")
local privileged = require("privileged")
local system = require("system")

ffi.cdef([[
struct spec_sockaddr { uint16_t family, port; uint32_t flow_or_addr4; uint8_t addr6[16]; uint32_t scope; };
struct spec_sockaddr_ll { uint16_t family, protocol; int ifindex; uint16_t hatype; uint8_t pkttype, halen, addr[8]; };
struct spec_ifreq { char name[16]; short flags; char rest[22]; };
int socket(int family, int type, int protocol);
int bind(int fd, const void *address, uint32_t len);
int listen(int fd, int backlog);
int accept(int fd, void *address, uint32_t *len);
int connect(int fd, const void *address, uint32_t len);
int getsockopt(int fd, int level, int name, void *value, uint32_t *len);
int setsockopt(int fd, int level, int name, const void *value, uint32_t len);
ssize_t send(int fd, const void *at, size_t len, int flags);
ssize_t recv(int fd, void *at, size_t len, int flags);
ssize_t sendto(int fd, const void *at, size_t len, int flags, const void *address, uint32_t address_len);
ssize_t sendfile(int to, int from, long *offset, size_t count);
int memfd_create(const char *name, unsigned int flags);
ssize_t write(int fd, const void *at, size_t len);
int open(const char *path, int flags, ...);
int ioctl(int fd, unsigned long request, ...);
unsigned int if_nametoindex(const char *name);
]])

local AF_INET, AF_INET6, AF_PACKET, STREAM, DGRAM, RAW = 2, 10, 17, 1, 2, 3
local SOL_SOCKET, REUSEADDR, SOL_TCP, TCP_INFO, SOL_UDP, UDP_SEGMENT = 1, 2, 6, 11, 17, 103
local DONTWAIT, TUNSETIFF, IFF_TUN, IFF_TAP, IFF_NO_PI, O_RDWR_NONBLOCK = 0x40, 0x400454ca, 1, 2, 0x1000, 0x802
local PORT = 9100 -- of the peer

local M = {}
local Pair = {}
Pair.__index = Pair
local open_fds = {}

local function check(result, what)
  if result < 0 then error(("%s: errno %d"):format(what, ffi.errno()), 3) end
  return result
end

local function keep(fd)
  open_fds[#open_fds + 1] = fd
  return fd
end

--- Close what this module opened and is still open.
function M.close_all()
  for _, fd in ipairs(open_fds) do ffi.C.close(fd) end
  open_fds = {}
end

--- Run `fn` inside a namespace that has a name.
function M.inside(namespace, fn)
  return privileged.inside(privileged.cell({ netns = "/run/netns/" .. namespace }), fn)
end

--- Index of an interface, inside its namespace.
function M.index(name)
  return ffi.C.if_nametoindex(name)
end

--- Have close_all() close these descriptors, too.
function M.keep(fds)
  for _, fd in ipairs(fds) do keep(fd) end
end

local function port_bytes(port)
  return math.floor(port / 256) + port % 256 * 256
end

local function address(text, port)
  local six = text:find(":", 1, true) ~= nil
  local out, bytes = ffi.new("struct spec_sockaddr"), packet.address(text)
  out.family, out.port = six and AF_INET6 or AF_INET, port_bytes(port)
  if six then ffi.copy(out.addr6, bytes, 16) else ffi.copy(ffi.cast("char *", out) + 4, bytes, 4) end
  return out, six and 28 or 16
end

local function bound(namespace, kind, text, port)
  return M.inside(namespace, function()
    local to, len = address(text, port)
    local fd = keep(check(ffi.C.socket(to.family, kind, 0), "socket"))
    local one = ffi.new("int[1]", 1)
    ffi.C.setsockopt(fd, SOL_SOCKET, REUSEADDR, one, 4)
    check(ffi.C.bind(fd, to, len), "bind")
    return fd
  end)
end

--- A TCP connection from a port of the cell to the peer, both ends ours; `flow` is its text as in flow_list.
function M.tcp_pair(here, family, port)
  local cell, peer = lab["cell" .. family], lab["peer" .. family]
  local listener = bound(here.peer, STREAM, peer, PORT)
  check(ffi.C.listen(listener, 1), "listen")
  local out = bound(here.cell, STREAM, cell, port)
  check(ffi.C.connect(out, address(peer, PORT)), "connect")
  local back = keep(check(ffi.C.accept(listener, nil, nil), "accept"))
  return setmetatable({ out = out, back = back, flow = ("tcp %s %d %s %d"):format(cell, port, peer, PORT) }, Pair)
end

--- Move `count` bytes to the peer, or `backwards`; returns when all have arrived.
function Pair:transfer(count, backwards)
  local from, to = self.out, self.back
  if backwards then from, to = to, from end
  local size = 262144
  local buffer, sent, got = ffi.new("uint8_t[?]", size), 0, 0
  local deadline = system.monotime() + 20
  while got < count do
    if sent < count then
      sent = sent + math.max(0, tonumber(ffi.C.send(from, buffer, math.min(size, count - sent), DONTWAIT)))
    end
    got = got + math.max(0, tonumber(ffi.C.recv(to, buffer, size, DONTWAIT)))
    assert(system.monotime() < deadline, "the bytes did not arrive")
  end
end

--- Move a file's pages of `count` bytes to the peer by sendfile(2): the buffers hold the pages themselves.
function Pair:sendfile(count)
  local file = keep(check(ffi.C.memfd_create("spec", 1), "memfd"))
  check(ffi.C.write(file, ffi.new("uint8_t[?]", count), count), "write")
  local offset, buffer, got, sent = ffi.new("long[1]"), ffi.new("uint8_t[65536]"), 0, 0
  while got < count do -- less than a socket buffer: sendfile does not block
    if sent < count then
      sent = sent + tonumber(check(ffi.C.sendfile(self.out, file, offset, count - sent), "sendfile"))
    end
    got = got + tonumber(check(ffi.C.recv(self.back, buffer, 65536, 0), "recv"))
  end
end

local function tcp_info(fd)
  local info, len = ffi.new("uint32_t[64]"), ffi.new("uint32_t[1]", 256)
  check(ffi.C.getsockopt(fd, SOL_TCP, TCP_INFO, info, len), "TCP_INFO")
  return { segments_out = info[34], segments_in = info[35], retransmitted = info[25] }
end

--- What the cell's TCP itself counted (retransmitted: by both ends), once nothing moves any more: delayed
--- acknowledgements take their time.
function Pair:settled_info()
  local before, deadline = {}, system.monotime() + 10
  repeat
    local info = tcp_info(self.out)
    if info.segments_out == before.segments_out and info.segments_in == before.segments_in then
      info.retransmitted = info.retransmitted + tcp_info(self.back).retransmitted
      return info
    end
    before = info
    system.sleep(0.2)
  until system.monotime() > deadline
  error("the connection does not come to rest")
end

function Pair:close()
  M.close_all()
  self.out, self.back = nil, nil
end

--- One send of `count` bytes from the cell that becomes datagrams of `size`; returns the flow.
function M.udp_segmented(here, from, to, size, count)
  local sink = bound(here.peer, DGRAM, lab.peer4, to)
  local fd = bound(here.cell, DGRAM, lab.cell4, from)
  local value = ffi.new("int[1]", size)
  check(ffi.C.setsockopt(fd, SOL_UDP, UDP_SEGMENT, value, 4), "UDP_SEGMENT")
  local target, len = address(lab.peer4, to)
  check(ffi.C.sendto(fd, ffi.new("uint8_t[?]", count), count, 0, target, len), "sendto")
  check(ffi.C.recv(sink, ffi.new("uint8_t[2048]"), 2048, 0), "recv") -- it has passed the hooks
  return ("udp %s %d %s %d"):format(lab.cell4, from, lab.peer4, to)
end

--- Send a whole frame on an interface.
function M.frame(namespace, interface, bytes)
  M.inside(namespace, function()
    local fd = check(ffi.C.socket(AF_PACKET, RAW, 0), "packet socket")
    local to = ffi.new("struct spec_sockaddr_ll", { family = AF_PACKET, ifindex = ffi.C.if_nametoindex(interface) })
    local sent = ffi.C.sendto(fd, bytes, #bytes, 0, to, ffi.sizeof(to))
    ffi.C.close(fd)
    check(tonumber(sent), "frame")
  end)
end

--- Make a tun device (no link header), or a tap, in a namespace; returns the descriptor of its far side.
function M.tun(namespace, name, is_tap)
  return M.inside(namespace, function()
    local fd = keep(check(ffi.C.open("/dev/net/tun", O_RDWR_NONBLOCK), "/dev/net/tun"))
    local request = ffi.new("struct spec_ifreq", { flags = (is_tap and IFF_TAP or IFF_TUN) + IFF_NO_PI })
    ffi.copy(request.name, name)
    check(ffi.C.ioctl(fd, TUNSETIFF, request), "TUNSETIFF")
    return fd
  end)
end

--- A packet comes out of the tun device, as the kernel sees it.
function M.tun_write(fd, bytes)
  check(tonumber(ffi.C.write(fd, bytes, #bytes)), "write to tun")
end

return M
