-- SPDX-License-Identifier: MIT
-- Names reasons after the source alone, as the module that cellflow descends from did: every flow seen by eBPF is
-- "ebpf_xdp_drop", allowed or not, and every logged packet "nflog_match".

function reason(ev, decision, code)
  if ev.source == "nflog" or ev.kind == "logged" then
    return "nflog_match"
  end
  return "ebpf_xdp_drop"
end
