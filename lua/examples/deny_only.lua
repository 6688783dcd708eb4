-- SPDX-License-Identifier: MIT
-- Records only what was denied: the rest is decided, counted and left unwritten.

function format(record)
  if record.decision == "deny" then
    return record
  end
  return nil
end
