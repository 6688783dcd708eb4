-- SPDX-License-Identifier: MIT
-- Leaves every flow's decision and record as they are: what an empty policy does, written out.

function verdict(ev)                -- nil: the kernel's verdict decides
  return nil
end

function reason(ev, decision, code) -- nil: keep the code
  return nil
end

function dedup(ev)                  -- false: never a duplicate
  return false
end

function format(record)             -- the record, unchanged: JSON
  return record
end
