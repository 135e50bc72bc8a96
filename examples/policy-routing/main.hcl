# Real servers with two networks: their default route leads into the network of
# the administrators, where packets from the VIP would be thrown away. Answers
# from the VIP, and nothing else, take the router of the other network: a rule for
# packets from the VIP, and a routing table with a default route of its own.
#
#   client ── 192.0.2.0/24 ── dir1  .9   VIP 192.0.2.100 on eth0:0
#               │ .1
#             router ── .1  198.51.100.0/24 ── eth1 rs1 eth0 ── 10.9.0.0/24
#                       .1  203.0.113.0/24  ── eth1 rs2 eth0 ──    gateway .1

topology "policy-routing" {}

host "dir1" {
  address = "192.0.2.9"
  gateway = "192.0.2.1"
  interface "eth0" { addresses = ["192.0.2.9/24"] }
}

host "rs1" {
  address = "198.51.100.11"
  gateway = "10.9.0.1"
  interface "eth0" { addresses = ["10.9.0.11/24"] }
  interface "eth1" { addresses = ["198.51.100.11/24"] }
  ssh { address = "10.9.0.11" }
}

host "rs2" {
  address = "203.0.113.12"
  gateway = "10.9.0.1"
  interface "eth0" { addresses = ["10.9.0.12/24"] }
  interface "eth1" { addresses = ["203.0.113.12/24"] }
  ssh { address = "10.9.0.12" }
}

module "web" {
  source    = "lvsform://tun" # the same holds for lvsform://dr
  vip       = "192.0.2.100"
  port      = 80
  scheduler = "rr"

  directors = {
    dir1 = { host = host.dir1, device = "eth0" }
  }

  # Each gateway makes, on its server,
  #
  #   rule  { from = "192.0.2.100/32", table = 20, priority = 20 }
  #   route { to = "default", via = GATEWAY, table = 20, advmss = 1440 }
  #
  # which can stand in a configuration without a module, too.
  real_servers = {
    rs1 = { host = host.rs1, gateway = "198.51.100.1" }
    rs2 = { host = host.rs2, gateway = "203.0.113.1" }
  }
  routing_table = 20
  advmss        = 1440 # room for the tunnel's header in what clients upload
}

output "vip" {
  value       = module.web.vip
  description = "Where clients connect to."
}
