# Direct routing on one network: a director and two web servers, the second one
# twice as strong as the first.
#
#   client ── 172.18.20.0/24 ──┬── dir1  .126   VIP 172.18.20.128 on eth0:0
#                              ├── rs1   .124   VIP on lo:0, weight 1
#                              └── rs2   .125   VIP on lo:0, weight 2

topology "dr-wlc" {}

# What stands in a host block was there before lvsform and is never changed. It
# is what the checks know about the machines, and what the lab builds.
host "dir1" {
  address = "172.18.20.126"
  gateway = "172.18.20.1"
  interface "eth0" { addresses = ["172.18.20.126/24"] }
}

# The real servers answer clients by their own gateway, not by the director.
host "rs1" {
  address = "172.18.20.124"
  gateway = "172.18.20.1"
  interface "eth0" { addresses = ["172.18.20.124/24"] }
}

host "rs2" {
  address = "172.18.20.125"
  gateway = "172.18.20.1"
  interface "eth0" { addresses = ["172.18.20.125/24"] }
}

module "web" {
  source    = "lvsform://dr"
  vip       = "172.18.20.128"
  port      = 80
  scheduler = "wlc" # the fewest connections for its weight

  # Direct routing works without it; the operators of this cluster route
  # other traffic through the director too.
  ip_forward = true

  directors = {
    dir1 = { host = host.dir1, device = "eth0" }
  }
  real_servers = {
    rs1 = { host = host.rs1, weight = 1 }
    rs2 = { host = host.rs2, weight = 2 }
  }
}

output "vip" {
  value       = module.web.vip
  description = "Where clients connect to."
}
