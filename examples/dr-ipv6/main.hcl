# Direct routing with IPv6. The VIP is a /128 everywhere, never the source of a
# host's own connections, and in use at once: lvsform adds it without duplicate
# address detection, which would find the director's on the real servers.
#
#   client ── 2001:db8:18::/64 ──┬── dir1  ::126   VIP 2001:db8:18::128 on eth0
#                                ├── rs1   ::124   VIP on lo, weight 1
#                                └── rs2   ::125   VIP on lo, weight 3

topology "dr-ipv6" {}

host "dir1" {
  address = "2001:db8:18::126"
  gateway = "2001:db8:18::1"
  interface "eth0" { addresses = ["2001:db8:18::126/64"] }
}

host "rs1" {
  address = "2001:db8:18::124"
  gateway = "2001:db8:18::1"
  interface "eth0" { addresses = ["2001:db8:18::124/64"] }
}

host "rs2" {
  address = "2001:db8:18::125"
  gateway = "2001:db8:18::1"
  interface "eth0" { addresses = ["2001:db8:18::125/64"] }
}

# No ARP sysctls and no host routes: Linux answers neighbour solicitations only
# for addresses of the interface that they arrive on, and adds the routes itself.
module "web" {
  source    = "lvsform://dr"
  vip       = "2001:db8:18::128"
  port      = 80
  scheduler = "wrr"

  directors = {
    dir1 = { host = host.dir1, device = "eth0" }
  }
  real_servers = {
    rs1 = { host = host.rs1, weight = 1 }
    rs2 = { host = host.rs2, weight = 3 }
  }
}

output "vip" {
  value       = module.web.vip
  description = "Where clients connect to."
}
