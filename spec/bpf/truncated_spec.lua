-- SPDX-License-Identifier: GPL-2.0-only
-- Packets that end anywhere: every length of several base packets has the outcome that its headers allow, and no other.
local run = require("bpf_run")
local prelude = require("bpf_prelude")
local packet = require("packet")

local EINVAL = 22
local EXPERIMENTAL = 0x88b5 -- an ethertype of which the kernel expects nothing
local PAD = ("\0"):rep(120)

describe("the tc program, on packets cut short", function()
  local dst = packet.extension(packet.DSTOPTS, 8)
  local tcp4 = packet.ipv4({ protocol = packet.TCP, payload = packet.tcp({ payload = PAD }) })
  local error4 = packet.icmp({ type = 3, payload = PAD })
  local echo6 = packet.icmp({ type = 128, id = 1, payload = PAD })

  -- First length that is parsed: the last byte of the last header that must be there.
  local bases = {
    { "TCP over IPv4", 14 + 20 + 20, packet.eth(packet.IPV4, tcp4) },
    { "UDP over IPv4", 14 + 20 + 8, packet.frame4(packet.UDP, packet.udp({ payload = PAD })) },
    { "SCTP over IPv4", 14 + 20 + 12, packet.frame4(packet.SCTP, packet.sctp({ payload = PAD })) },
    { "an ICMP error", 14 + 20 + 4, packet.frame4(packet.ICMP, error4) },
    { "protocol 99 after IPv4 options", 14 + 60, packet.frame4(99, PAD, { options = ("\1"):rep(40) }) },
    { "a later IPv4 fragment with options", 14 + 24, packet.frame4(17, PAD, { options = "\1\1\1\1", offset = 4 }) },
    { "UDP in two tags", 14 + 8 + 20 + 8, packet.eth(packet.QINQ, packet.tag(1, packet.VLAN,
      packet.tag(2, packet.IPV4, packet.ipv4({ protocol = packet.UDP, payload = packet.udp({ payload = PAD }) })))) },
    { "TCP over IPv6", 14 + 40 + 20, packet.frame6(packet.TCP, packet.tcp({ payload = PAD })) },
    { "ICMPv6 echo", 14 + 40 + 8, packet.frame6(packet.ICMPV6, echo6) },
    { "UDP after two extension headers", 14 + 40 + 16 + 8, packet.frame6(packet.UDP, packet.udp({ payload = PAD }),
      { chain = { dst, dst } }) },
    { "a later IPv6 fragment", 14 + 40 + 8 + 8, packet.frame6(packet.UDP, PAD,
      { chain = { dst, packet.fragment(1, true) } }) },
    { "no next header after AH", 14 + 40 + 24, packet.frame6(packet.NONE, PAD,
      { chain = { packet.extension(packet.AH, 24) } }) },
  }

  for _, base in ipairs(bases) do
    local name, enough, bytes = unpack(base)
    it("parses " .. name .. " from " .. enough .. " bytes on", function()
      assert.is_true(#bytes >= 120)
      local cell = run.load()
      local disguised = bytes:sub(1, 12) .. packet.be16(EXPERIMENTAL) .. bytes:sub(15)
      local restore = prelude.set_ethertype(bytes:byte(13) * 256 + bytes:byte(14), cell.program.egress)
      local truncated, parsed = 0, 0
      for length = 0, 120 do
        local stats, errno = cell:run(restore.fd, disguised:sub(1, length))
        if length < 14 then
          assert.is_nil(stats) -- the kernel makes no packet without a link header
          assert.equal(EINVAL, errno)
        else
          if length < enough then truncated = truncated + 1 else parsed = parsed + 1 end
          assert.equal(truncated, stats.truncated, "at length " .. length)
          assert.equal(parsed, stats.parsed, "at length " .. length)
          assert.equal(truncated + parsed, stats.packets)
        end
      end
      assert.equal(1, #cell:flows())
      assert.equal(1, #cell:events())
      restore:close()
      cell:close()
    end)
  end
end)
