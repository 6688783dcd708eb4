-- SPDX-License-Identifier: MIT
-- The programs that are compared on real packets, each with how it is started in a lab, told that it is ready, and
-- counted; and what a run of one yields: CPU seconds of all its processes, records, and the sender's own report. Each
-- is given a buffer of 16 MiB, as our ring has. Output goes to memory. Decides nothing about how often or against whom.
local dkjson = require("dkjson")
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local system = require("system")

local M = {}

local DIRECTORY = os.getenv("CELLFLOW_BENCH_TMP") or "/dev/shm"
local SETTLED, PATIENCE = 0.4, 6 -- seconds

local NFT = [[
table inet bench {
  chain output { type filter hook output priority 0; %s
  }
}
]]

local ULOGD = [[
[global]
logfile="%s"
loglevel=5
plugin="/usr/lib/%s/ulogd/ulogd_inppkt_NFLOG.so"
plugin="/usr/lib/%s/ulogd/ulogd_filter_IFINDEX.so"
plugin="/usr/lib/%s/ulogd/ulogd_filter_IP2STR.so"
plugin="/usr/lib/%s/ulogd/ulogd_raw2packet_BASE.so"
plugin="/usr/lib/%s/ulogd/ulogd_output_JSON.so"
stack=log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,json1:JSON
[log1]
group=100
netlink_socket_buffer_size=16777216
netlink_socket_buffer_maxsize=16777216
netlink_qthreshold=100
[json1]
file="%s"
]]

local PMACCT = [[
daemonize: false
pcap_interface: eth0
aggregate: src_host,dst_host,src_port,dst_port,proto
plugins: print
print_output: json
print_output_file: %s
print_output_file_append: true
print_refresh_time: 1
print_cache_entries: 131071
plugin_pipe_size: 16777216
plugin_buffer_size: 65536
pcap_filter: udp
]]

-- Who has no kernel probes has the tracepoint where a packet leaves. The shell mounts what bpftrace reads it from.
local BPFTRACE = [[
tracepoint:net:net_dev_start_xmit {
  $skb = (struct sk_buff *)args->skbaddr;
  $udp = (struct udphdr *)($skb->head + $skb->transport_header);
  if (args->protocol == 0x800) {
    $ip = (struct iphdr *)($skb->head + $skb->network_header);
    if ($ip->protocol == 17) {
      printf("%s:%d > %s:%d udp\n", ntop($ip->saddr), bswap($udp->source), ntop($ip->daddr), bswap($udp->dest));
    }
  }
  if (args->protocol == 0x86dd) {
    $ip6 = (struct ipv6hdr *)($skb->head + $skb->network_header);
    if ($ip6->nexthdr == 17) {
      printf("%s:%d > %s:%d udp\n", ntop($ip6->saddr.in6_u.u6_addr8), bswap($udp->source),
        ntop($ip6->daddr.in6_u.u6_addr8), bswap($udp->dest));
    }
  }
}
]]
local BPFTRACE_SHELL = [[
mount -t tracefs nodev /sys/kernel/tracing
BPFTRACE_PERF_RB_PAGES=4096 exec bpftrace %s.bt >%s
]]

local function write(path, text)
  local file = assert(io.open(path, "w"))
  assert(file:write(text))
  file:close()
end

local function architecture()
  return (lab.must("gcc -print-multiarch"):gsub("%s", ""))
end

--- CPU seconds of a process, from its threads' run times in nanoseconds.
function M.cpu_alone(pid)
  local sum = 0
  local pipe = assert(io.popen(("cat /proc/%d/task/*/schedstat 2>/dev/null"):format(pid)))
  for line in pipe:lines() do sum = sum + tonumber(line:match("^%d+")) / 1e9 end
  pipe:close()
  return sum
end

-- Of a process and all below it.
local function cpu_of(pid)
  local sum = M.cpu_alone(pid)
  for _, child in ipairs(cellflow.children(pid)) do sum = sum + cpu_of(child) end
  return sum
end
M.cpu_of = cpu_of

local function size_of(path)
  local file = io.open(path)
  if not file then return 0 end
  local size = file:seek("end")
  file:close()
  return size
end

local function settle(path, first)
  local deadline, size, since = system.monotime() + PATIENCE, -1, system.monotime()
  system.sleep(first or 0)
  while system.monotime() < deadline do
    local now = size_of(path)
    if now ~= size then size, since = now, system.monotime() end
    if system.monotime() - since > SETTLED then return end
    system.sleep(0.05)
  end
end

local function lines_of(path, pattern)
  return tonumber((lab.run(("grep -c -F -e '%s' %s"):format(pattern, path)))) or 0
end

local function in_cell(here, command, out)
  return here:start("cell", ("sh -c 'exec %s >%s'"):format(command, out))
end

-- name -> { start(here, out) -> process, line = what a record's line has, settle = seconds that it may be silent,
-- starts = seconds until it listens }
local RIVALS = {
  ["tcpdump -l -n"] = { line = " > ", settle = 1.2, start = function(here, out)
    return in_cell(here, "tcpdump -l -n -B 16384 -Q out -i eth0 udp", out)
  end },
  ["tcpdump -w"] = { settle = 1.2, start = function(here, out)
    return in_cell(here, ("tcpdump -w %s -B 16384 -Q out -i eth0 udp"):format(out), "/dev/null")
  end, count = function(output) return tonumber(output:match("(%d+) packets? captured")) end },
  ["conntrack -E"] = { line = "[NEW]", rule = "ct state new accept", start = function(here, out)
    return in_cell(here, "conntrack -E -e NEW -b 16777216", out)
  end },
  ["ulogd2 JSON"] = { line = "{", rule = "ct state new log group 100 queue-threshold 100",
    start = function(here, out)
      local machine, path = architecture(), out .. ".conf"
      write(path, ULOGD:format(out .. ".log", machine, machine, machine, machine, machine, out))
      return here:start("cell", "/usr/sbin/ulogd -c " .. path)
    end },
  ["bpftrace"] = { line = " > ", starts = 4, start = function(here, out)
    write(out .. ".bt", BPFTRACE)
    write(out .. ".sh", BPFTRACE_SHELL:format(out, out))
    return here:start("cell", "unshare -m sh " .. out .. ".sh")
  end },
  ["pmacctd JSON"] = { line = "{", settle = 2.2, start = function(here, out)
    write(out .. ".conf", PMACCT:format(out))
    return here:start("cell", "/usr/sbin/pmacctd -f " .. out .. ".conf")
  end },
}

local CELLFLOW = { line = '"network_flow_decision"' }
M.names = { "cellflow", "pmacctd JSON", "tcpdump -l -n", "conntrack -E", "ulogd2 JSON", "bpftrace",
  "tcpdump -w" }

--- Send from the cell: blast's report. options: { how = "raw" or "packet", flows =, each =, rate =, seed = }.
function M.send(here, options)
  local text = here:exec("cell", ("%sbuild/bench/blast %s eth0 %d %d %d %d"):format(options.pinned or "", options.how,
    options.flows, options.each or 1, options.rate or 0, options.seed))
  return assert(dkjson.decode(text), text)
end

--- A lab whose cell has a way to blast's destinations, and whose peer throws away what comes.
function M.lab()
  local here = lab.up()
  here:exec("cell", "ip route add 10.128.0.0/9 via 10.77.0.1")
  here:exec("cell", "ip -6 route add fd78::/16 via fd77::1")
  here:nft('table netdev away { chain ingress { type filter hook ingress device "eth0" priority 0; drop\n }\n}', "peer")
  return here
end

local function run_cellflow(here, options, out)
  local args = { "--netns", "/run/netns/" .. here.cell, "--interface", "eth0" }
  for _, arg in ipairs(options.args or {}) do args[#args + 1] = arg end
  local run = cellflow.start({ args = args, stdout = out }):ready(30)
  local before = cpu_of(run.pid)
  local sent = M.send(here, options)
  settle(out)
  local cpu = cpu_of(run.pid) - before
  assert(run:finish(30) == 0, run:stderr())
  local numbers = run:stderr()
  run:stop()
  return sent, cpu, lines_of(out, CELLFLOW.line), numbers
end

local function run_rival(here, name, options, out)
  local rival = RIVALS[name]
  local process = rival.start(here, out)
  system.sleep(rival.starts or 0.7) -- none of them says when it listens in a way that all versions share
  local before = cpu_of(process.pid)
  local sent = M.send(here, options)
  settle(out, rival.settle)
  local cpu = cpu_of(process.pid) - before
  local output = here:stop(process)
  return sent, cpu, rival.count and rival.count(output) or lines_of(out, rival.line), output
end

--- One run: { cpu_us_record, records, sent, lost (fraction), rate (packets/s), sender_us (CPU a packet) }.
--- name "nobody": nothing watches.
function M.run(here, name, options)
  local out = ("%s/cellflow-bench-%s"):format(DIRECTORY, here.name)
  local rule = options.rule or RIVALS[name] and RIVALS[name].rule
  here:nft("flush ruleset" .. (rule and "\n" .. NFT:format(rule) or ""))
  local ok, sent, cpu, records, said = pcall(function()
    if name == "nobody" then return M.send(here, options), 0, 0 end
    if name:find("^cellflow") then return run_cellflow(here, options, out) end
    return run_rival(here, name, options, out)
  end)
  lab.run("rm -f " .. out .. "*")
  if not ok then error(sent, 0) end
  local expected = options.counts_packets and sent.packets or name == "tcpdump -w" and sent.packets or sent.flows
  return { sent = sent.packets, flows = sent.flows, records = records, said = said,
    lost = name ~= "nobody" and math.max(0, 1 - records / expected) or nil,
    cpu_us = records > 0 and cpu / records * 1e6 or nil, rate = sent.packets / sent.seconds,
    sender_us = sent.cpu_seconds / sent.packets * 1e6 }
end

return M
