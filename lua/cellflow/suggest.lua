-- SPDX-License-Identifier: MIT
-- The nearest right name for a wrong one, for every "did you mean". Distance is Damerau-Levenshtein (a swap of
-- neighbours is one step). Of what names mean it knows only what other tools call the same.
local M = {}

-- A word that is cut short ("nflg" for "nflog_group") is near a beginning of the name; a whole name is nearer.
local CUT_PENALTY = 0.5
local CUT_MIN = 4 -- shorter words are near the beginning of almost anything

-- tcpdump's, nft's, hubble's and others' words, in lower case.
local ELSEWHERE = { dport = "dst_port", sport = "src_port", port = "dst_port", daddr = "dst_addr", saddr = "src_addr",
  dst = "dst_addr", src = "src_addr", dst_ip = "dst_addr", src_ip = "src_addr", dstip = "dst_addr",
  srcip = "src_addr", dest = "dst_addr", destination = "dst_addr", ip = "dst_addr", l4proto = "protocol",
  proto = "protocol", iface = "interface", oif = "interface", iif = "interface", dev = "interface",
  bytes = "byte_count", packets = "packet_count", pkts = "packet_count", flags = "tcp_flags", cell = "cell_id" }

local function next_row(word, name, i, row, above, above2)
  row[0] = i
  for j = 1, #name do
    local same = word:byte(i) == name:byte(j)
    local best = math.min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (same and 0 or 1))
    if i > 1 and j > 1 and word:byte(i) == name:byte(j - 1) and word:byte(i - 1) == name:byte(j) then
      best = math.min(best, above2[j - 2] + 1)
    end
    row[j] = best
  end
end

--- Steps from `word` to `name`, and from `word` to the nearest beginning of `name`.
function M.distance(word, name)
  local above2, above, row = {}, {}, {}
  for j = 0, #name do above[j] = j end
  for i = 1, #word do
    next_row(word, name, i, row, above, above2)
    above2, above, row = above, row, above2
  end
  local cut = math.huge
  for j = 0, #name do cut = math.min(cut, above[j]) end
  return above[#name], cut
end

local function from_elsewhere(word, names)
  local ours = type(word) == "string" and ELSEWHERE[word:lower()]
  for i = 1, ours and #names or 0 do
    if names[i] == ours then return ours end
  end
end

--- The entry of the list `names` that is nearest to `word`, or nil when none is near enough to be meant.
function M.nearest(word, names)
  local ours = from_elsewhere(word, names)
  if ours then return ours end
  if type(word) ~= "string" or #word < 3 or #word > 64 then
    return nil
  end
  local limit = math.min(3, math.ceil(#word / 3))
  local best, best_score
  for i = 1, #names do
    local whole, cut = M.distance(word:lower(), names[i]:lower())
    local score = whole <= limit and whole or nil
    if not score and #word >= CUT_MIN and cut <= math.max(1, limit - 1) then
      score = cut + CUT_PENALTY
    end
    if score and word ~= names[i] and (not best_score or score < best_score) then
      best, best_score = names[i], score
    end
  end
  return best
end

--- ` (did you mean "NAME"?)`, or "" when nothing is near: to be appended to an error text.
function M.hint(word, names)
  local name = M.nearest(word, names)
  return name and (' (did you mean "%s"?)'):format(name) or ""
end

return M
