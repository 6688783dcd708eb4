-- SPDX-License-Identifier: MIT
-- One bar chart as SVG text: a bar for each median, a line from quartile to quartile. Draws what it is given, at a
-- logarithmic scale where the values are far apart.
local M = {}

local WIDTH, LABEL, ROW, TOP, RIGHT = 860, 330, 24, 44, 90
local FAR_APART = 50

local function escape(text)
  return (text:gsub("[&<>]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" }))
end

local function short(value)
  if value >= 1e6 then return ("%.2f M"):format(value / 1e6) end
  if value >= 1e4 then return ("%.0f k"):format(value / 1e3) end
  return value >= 100 and ("%.0f"):format(value) or value >= 1 and ("%.1f"):format(value) or ("%.3g"):format(value)
end

-- Returns a function from value to x, and whether it is logarithmic.
local function scale(bars)
  local least, most = math.huge, 0
  for _, bar in ipairs(bars) do
    if bar.median > 0 then least = math.min(least, bar.low > 0 and bar.low or bar.median) end
    most = math.max(most, bar.high, bar.median)
  end
  local span = WIDTH - LABEL - RIGHT
  if most <= 0 then return function() return LABEL end, false end
  if most / least < FAR_APART then
    return function(value) return LABEL + math.max(0, value) / most * span end, false
  end
  local low = math.floor(math.log10(least))
  local high = math.log10(most)
  return function(value)
    return LABEL + (value > 0 and math.max(0, (math.log10(value) - low) / (high - low)) or 0) * span
  end, true
end

--- plot: { title =, unit =, bars = { { label =, median =, low =, high =, is_ours = } } }.
function M.svg(plot)
  local x, is_log = scale(plot.bars)
  local height = TOP + #plot.bars * ROW + 10
  local out = {
    ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif">')
      :format(WIDTH, height, WIDTH, height),
    ('<rect width="%d" height="%d" fill="white"/>'):format(WIDTH, height),
    ('<text x="10" y="18" font-size="14" font-weight="bold">%s</text>'):format(escape(plot.title)),
    ('<text x="10" y="35" font-size="11" fill="#555">%s%s; bars: median, lines: quartiles</text>'):format(
      escape(plot.unit), is_log and ", logarithmic" or ""),
  }
  for i, bar in ipairs(plot.bars) do
    local y = TOP + (i - 1) * ROW
    out[#out + 1] = ('<text x="%d" y="%d" font-size="12" text-anchor="end">%s</text>'):format(LABEL - 8, y + 15,
      escape(bar.label))
    out[#out + 1] = ('<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>'):format(LABEL, y + 3,
      math.max(1, x(bar.median) - LABEL), ROW - 6, bar.is_ours and "#2b6cb0" or "#b0b7c0")
    out[#out + 1] = ('<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="black"/>'):format(x(bar.low), x(bar.high),
      y + ROW / 2, y + ROW / 2)
    out[#out + 1] = ('<text x="%.1f" y="%d" font-size="11">%s</text>'):format(math.max(x(bar.high), x(bar.median)) + 6,
      y + 15, short(bar.median))
  end
  out[#out + 1] = "</svg>\n"
  return table.concat(out, "\n")
end

return M
