# Tunnelling: the real servers stand in other data centres than the director.
# Each request reaches them wrapped in a packet to their own address; they unwrap
# it, find the VIP on their tunl0, and answer the client through their own router.
#
#   client ── 192.0.2.0/24 ── dir1  .9   VIP 192.0.2.100 on eth0:0
#               │ .1
#             routers
#               │ .1                          │ .1
#      198.51.100.0/24 ── rs1  .11      203.0.113.0/24 ── rs2  .12
#                 both: VIP on tunl0:0

topology "tun-multisite" {}

host "dir1" {
  address = "192.0.2.9"
  gateway = "192.0.2.1"
  interface "eth0" { addresses = ["192.0.2.9/24"] }
}

host "rs1" {
  address = "198.51.100.11"
  gateway = "198.51.100.1"
  interface "eth0" { addresses = ["198.51.100.11/24"] }
}

host "rs2" {
  address = "203.0.113.12"
  gateway = "203.0.113.1"
  interface "eth0" { addresses = ["203.0.113.12/24"] }
}

module "web" {
  source    = "lvsform://tun"
  vip       = "192.0.2.100"
  port      = 80
  scheduler = "wrr"

  # Packets grow by 20 bytes on their way to a real server. Where a filter
  # swallows the ICMP messages about that, uploads hang, so clients are asked for
  # smaller segments: on a route that only answers from the VIP take.
  advmss = 1440

  directors = {
    dir1 = { host = host.dir1, device = "eth0" }
  }
  real_servers = {
    rs1 = { host = host.rs1, weight = 2, gateway = "198.51.100.1" }
    rs2 = { host = host.rs2, weight = 1, gateway = "203.0.113.1" }
  }
}

output "vip" {
  value       = module.web.vip
  description = "Where clients connect to."
}
