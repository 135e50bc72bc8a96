# NAT as it is usually described for RHEL and its relatives: two NICs on the
# director, and real servers behind it that answer through it.
#
#   client ── 192.168.227.0/24 ── ens37 dir1 ens33 ── 192.168.253.0/24 ──┬── rs1  .143
#     .200    VIP 192.168.227.128            .142                        └── rs2  .144

topology "nat-rhel" {}

variable "stop" {
  type        = set(string)
  default     = []
  description = "Services to stop on every host, and not to start when it boots. The usual descriptions stop firewalld: --var 'stop=[\"firewalld\"]'. Opening the service's port in it is better wherever hosts are reachable from elsewhere."
}

host "dir1" {
  address = "192.168.253.142"
  interface "ens37" { addresses = ["192.168.227.127/24"] } # outside; the VIP joins it
  interface "ens33" { addresses = ["192.168.253.142/24"] }
}

host "rs1" {
  address = "192.168.253.143"
  gateway = "192.168.253.2" # what the installer has set; the director takes its place
  interface "ens33" { addresses = ["192.168.253.143/24"] }
}

host "rs2" {
  address = "192.168.253.144"
  gateway = "192.168.253.2"
  interface "ens33" { addresses = ["192.168.253.144/24"] }
}

service "stopped" {
  for_each = { for pair in setproduct(["dir1", "rs1", "rs2"], var.stop) : join("/", pair) => pair }
  host     = { dir1 = host.dir1, rs1 = host.rs1, rs2 = host.rs2 }[each.value[0]]
  name     = each.value[1]
  running  = false
  enabled  = false
}

module "web" {
  source    = "lvsform://nat"
  vip       = "192.168.227.128"
  port      = 80
  scheduler = "rr" # one after the other

  directors = {
    dir1 = { host = host.dir1, device = "ens37", interfaces = ["ens37", "ens33"] }
  }
  gateway = "192.168.253.142"
  real_servers = {
    rs1 = { host = host.rs1 }
    rs2 = { host = host.rs2 }
  }
}

output "vip" {
  value       = module.web.vip
  description = "Where clients connect to."
}
