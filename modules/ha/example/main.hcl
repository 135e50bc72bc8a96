topology "web" {}

variable "vrrp_password" {
  sensitive = true
  default   = "changeme"
}

host "dir1" { address = "192.0.2.8" }
host "dir2" { address = "192.0.2.9" }

module "pair" {
  source            = "lvsform://ha"
  virtual_router_id = 51
  password          = var.vrrp_password
  addresses         = { vip = { ip = "192.0.2.10", label = "eth0:0" } }

  directors = {
    dir1 = { host = host.dir1, device = "eth0" }
    dir2 = { host = host.dir2, device = "eth0" }
  }
  priorities = { dir1 = 100, dir2 = 90 }
}
