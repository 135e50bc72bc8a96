topology "web" {}

host "dir1" { address = "192.0.2.9" }
host "rs1" { address = "198.51.100.11" }
host "rs2" { address = "203.0.113.12" }

module "web" {
  source = "lvsform://tun"
  vip    = "192.0.2.10"
  ports  = [80, 443]

  # tunnel = { type = "gue", port = 6080 }, where only UDP gets through

  directors = { dir1 = { host = host.dir1, device = "eth0" } }
  real_servers = {
    rs1 = { host = host.rs1 }
    rs2 = { host = host.rs2 }
  }
}
