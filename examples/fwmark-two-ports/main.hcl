# Two ports as one service: nftables marks the packets to http and https on the
# VIP with the same firewall mark, and IPVS balances the mark. With persistence a
# client that logs in over https finds its session over http, because both reach
# the same real server. Direct routing, written out without a module.
#
#   client ── 192.0.2.0/24 ──┬── dir1  .9    VIP 192.0.2.100 on eth0:0
#                            ├── rs1   .11   VIP on lo:0
#                            └── rs2   .12   VIP on lo:0

topology "fwmark-two-ports" {}

locals {
  vip  = "192.0.2.100"
  mark = 80443 # any number that nothing else on the director uses
}

host "dir1" {
  address = "192.0.2.9"
  gateway = "192.0.2.1"
  interface "eth0" { addresses = ["192.0.2.9/24"] }
}

host "rs" {
  for_each = { rs1 = "192.0.2.11", rs2 = "192.0.2.12" }
  name     = each.key
  address  = each.value
  gateway  = "192.0.2.1"
  interface "eth0" { addresses = ["${each.value}/24"] }
}

# The director -----------------------------------------------------------------

address "vip" {
  host   = host.dir1
  ip     = "${local.vip}/32"
  device = "eth0"
  label  = "eth0:0"
}

mark "web" {
  host     = host.dir1
  protocol = "tcp"
  address  = local.vip
  ports    = [80, 443]
  mark     = local.mark
}

virtual_service "web" {
  host      = host.dir1
  fwmark    = local.mark
  family    = "ipv4"
  scheduler = "rr"
  forward   = "dr"

  persistence { timeout = "10m" }

  real_server "rs1" { host = host.rs["rs1"] }
  real_server "rs2" { host = host.rs["rs2"] }
}

# The real servers -------------------------------------------------------------

sysctl "arp" {
  for_each = host.rs
  host     = each.value
  settings = {
    "net.ipv4.conf.all.arp_ignore"   = 1
    "net.ipv4.conf.all.arp_announce" = 2
  }
}

address "vip_lo" {
  for_each  = host.rs
  host      = each.value
  ip        = "${local.vip}/32"
  device    = "lo"
  label     = "lo:0"
  broadcast = local.vip
}

output "vip" {
  value       = local.vip
  description = "Where clients connect to."
}
