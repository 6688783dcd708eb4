std = "luajit"
max_line_length = 120
exclude_files = { "build" }
files["spec"] = { std = "luajit+busted" }
files["lua/examples"] = {
  globals = { "verdict", "reason", "dedup", "format" },
  read_globals = {
    "cell", "metadata", "output", "allow", "deny", "default", "on", "every", "include", "limits",
    "emit", "counter", "window", "net", "log", "json", "args", "kB", "MB", "GB", "sec", "minute", "hour",
  },
}
