# Direct routing on machines that must not route: ip_forward is off everywhere,
# and the director keeps sending redirects, as its operators want it. IPVS hands
# packets to real servers without the kernel's forwarding.
#
#   client ── 203.0.113.0/24 ──┬── dir1  .109   VIP 203.0.113.110 on eth0:0
#                              ├── rs1   .108   VIP on lo:0
#                              └── rs2   .107   VIP on lo:0

topology "dr-noforward" {}

host "dir1" {
  address = "203.0.113.109"
  gateway = "203.0.113.1"
  interface "eth0" { addresses = ["203.0.113.109/24"] }
}

host "rs1" {
  address = "203.0.113.108"
  gateway = "203.0.113.1"
  interface "eth0" { addresses = ["203.0.113.108/24"] }
}

host "rs2" {
  address = "203.0.113.107"
  gateway = "203.0.113.1"
  interface "eth0" { addresses = ["203.0.113.107/24"] }
}

module "web" {
  source    = "lvsform://dr"
  vip       = "203.0.113.110"
  port      = 80
  scheduler = "rr"

  # All three are left as they are on a host where they are not given.
  ip_forward             = false
  send_redirects         = true
  real_server_ip_forward = false

  directors = {
    dir1 = { host = host.dir1, device = "eth0" }
  }
  real_servers = {
    rs1 = { host = host.rs1 }
    rs2 = { host = host.rs2 }
  }
}

output "vip" {
  value       = module.web.vip
  description = "Where clients connect to."
}
