topology "web" {}

host "dir1" { address = "192.0.2.9" }
host "rs1" { address = "192.0.2.11" }
host "rs2" { address = "192.0.2.12" }

module "web" {
  source    = "lvsform://dr"
  vip       = "192.0.2.10"
  port      = 80
  scheduler = "wlc"

  directors = { dir1 = { host = host.dir1, device = "eth0" } }
  real_servers = {
    rs1 = { host = host.rs1, weight = 1 }
    rs2 = { host = host.rs2, weight = 2 }
  }
}
