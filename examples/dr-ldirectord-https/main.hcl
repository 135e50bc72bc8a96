# ldirectord keeps the table: a web server that does not answer gets no new
# clients, and when none answers the director's own page does. One of the web
# servers runs Windows; `lvsform runbook win1` prints what to do there.
#
#   client ── 192.168.34.0/24 ──┬── dir1  .40   VIP 192.168.34.41, page of last resort
#                               ├── rs1   .26   VIP on lo:0
#                               └── win1  .27   VIP on a loopback adapter

topology "dr-ldirectord-https" {}

host "dir1" {
  address = "192.168.34.40"
  gateway = "192.168.34.1"
  interface "eth0" { addresses = ["192.168.34.40/24"] }
}

host "rs1" {
  address = "192.168.34.26"
  gateway = "192.168.34.1"
  interface "eth0" { addresses = ["192.168.34.26/24"] }
}

host "win1" {
  address = "192.168.34.27"
  gateway = "192.168.34.1"
  interface "Ethernet" { addresses = ["192.168.34.27/24"] }
  managed = false
  os      = "windows"
}

module "https" {
  source      = "lvsform://dr"
  vip         = "192.168.34.41"
  port        = 443
  scheduler   = "wlc"
  persistence = { timeout = "600s" }

  # A connection each second. ldirectord's own word for it is `connect`; what it
  # calls `on` is no check at all.
  checker      = "ldirectord"
  health_check = { type = "tcp", interval = "1s", timeout = "3s" }

  # A dead server keeps its place with the weight 0, so that its connections can
  # end. The module makes persistent clients leave it nevertheless.
  quiescent = true

  # A program on the director that listens on port 443 of every address.
  fallback = { address = "127.0.0.1", port = 443 }

  directors = {
    dir1 = { host = host.dir1, device = "eth0" }
  }
  real_servers = {
    rs1  = { host = host.rs1 }
    win1 = { host = host.win1 }
  }
}

output "vip" {
  value       = module.https.vip
  description = "Where clients connect to."
}
