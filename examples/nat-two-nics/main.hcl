# Network address translation: the director stands between two networks, and the
# real servers know nothing of the VIP. Their answers have to come back through
# the director, so it becomes their default gateway.
#
#   client ── 203.0.113.0/24 ── eth0 dir1 eth1 ── 192.168.10.0/24 ──┬── rs1  .1
#             VIP 203.0.113.110           .254                      └── rs2  .2

topology "nat-two-nics" {}

variable "real_servers" {
  type        = map(string)
  description = "The real servers by name; one line more is one server more."
  default = {
    rs1 = "192.168.10.1"
    rs2 = "192.168.10.2"
  }
}

host "dir1" {
  address = "192.168.10.254"
  gateway = "203.0.113.1"
  interface "eth0" { addresses = ["203.0.113.109/24"] } # outside; the VIP joins it
  interface "eth1" { addresses = ["192.168.10.254/24"] }
}

host "rs" {
  for_each = var.real_servers
  name     = each.key
  address  = each.value
  # The router that they used before: apply points their default route at the
  # director, and destroy gives this one back.
  gateway = "192.168.10.253"
  interface "eth0" { addresses = ["${each.value}/24"] }
}

module "web" {
  source    = "lvsform://nat"
  vip       = "203.0.113.110"
  port      = 80
  scheduler = "rr" # one after the other

  directors = {
    # Redirects are switched off on both NICs: a real server must not learn a
    # way past the director.
    dir1 = { host = host.dir1, device = "eth0", interfaces = ["eth0", "eth1"] }
  }
  gateway = "192.168.10.254"

  # `port = 8080` beside the host would map the port, which only NAT can do.
  real_servers = {
    for name, address in var.real_servers : name => { host = host.rs[name], weight = 1 }
  }
}

output "vip" {
  value       = module.web.vip
  description = "Where clients connect to."
}
