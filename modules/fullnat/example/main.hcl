topology "web" {}

host "dir1" { address = "192.0.2.9" }
host "rs1" { address = "10.20.0.11" }
host "rs2" { address = "10.30.0.12" }

module "web" {
  source = "lvsform://fullnat"
  vip    = "192.0.2.10"
  port   = 80

  directors = { dir1 = { host = host.dir1, device = "eth0" } }
  real_servers = {
    rs1 = { host = host.rs1, port = 8080 }
    rs2 = { host = host.rs2, port = 8080 }
  }
}
