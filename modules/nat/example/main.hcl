topology "web" {}

host "dir1" { address = "192.168.10.254" }
host "rs1" { address = "192.168.10.1" }
host "rs2" { address = "192.168.10.2" }

module "web" {
  source  = "lvsform://nat"
  vip     = "203.0.113.10"
  port    = 80
  gateway = "192.168.10.254"

  directors = { dir1 = { host = host.dir1, device = "eth0", interfaces = ["eth0", "eth1"] } }
  real_servers = {
    rs1 = { host = host.rs1 }
    rs2 = { host = host.rs2, port = 8080 }
  }
}
