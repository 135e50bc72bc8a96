# FullNAT: the real servers stand in VLANs of their own, and the router of these
# VLANs stays their gateway. The director has one NIC. It rewrites the source of a
# request too, to its own address, so the answer comes back to it by itself.
#
#   client ── 203.0.113.0/24 ── dir1  .9   VIP 203.0.113.110 on eth0:0
#               │ .1
#             router
#               │ .1                    │ .1
#       10.20.0.0/24 ── rs1  .11   10.30.0.0/24 ── rs2  .12

topology "fullnat" {}

host "dir1" {
  address = "203.0.113.9"
  gateway = "203.0.113.1"
  interface "eth0" { addresses = ["203.0.113.9/24"] }
}

host "rs1" {
  address = "10.20.0.11"
  gateway = "10.20.0.1"
  interface "eth0" { addresses = ["10.20.0.11/24"] }
}

host "rs2" {
  address = "10.30.0.12"
  gateway = "10.30.0.1"
  interface "eth0" { addresses = ["10.30.0.12/24"] }
}

module "web" {
  source    = "lvsform://fullnat"
  vip       = "203.0.113.110"
  port      = 80
  scheduler = "rr"

  directors = {
    dir1 = { host = host.dir1, device = "eth0" }
  }

  # Nothing is configured on them. Their ports may differ from the service's.
  real_servers = {
    rs1 = { host = host.rs1, port = 8080 }
    rs2 = { host = host.rs2, port = 8080 }
  }
}

output "vip" {
  value       = module.web.vip
  description = "Where clients connect to."
}
