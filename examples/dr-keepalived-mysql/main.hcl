# Two directors for two databases: keepalived moves the VIP to the living director
# by VRRP, and takes a database that does not answer out of the table. The directors
# tell each other of open connections, so that these survive when the VIP moves.
#
#   client ── 192.168.113.0/24 ──┬── lvs01  .149   master, priority 100 ─┐ VIP .100
#                                ├── lvs02  .148   backup, priority 90  ─┘ on one of them
#                                ├── db01   .11    VIP on lo:1
#                                └── db02   .142   VIP on lo:1

topology "dr-keepalived-mysql" {}

variable "vrrp_password" {
  type        = string
  default     = "1111"
  sensitive   = true
  description = "What the directors tell each other, at most 8 characters. Give your own in the environment: LVSFORM_VAR_vrrp_password."
}

host "lvs01" {
  address = "192.168.113.149"
  gateway = "192.168.113.1"
  interface "ens160" { addresses = ["192.168.113.149/24"] }
}

host "lvs02" {
  address = "192.168.113.148"
  gateway = "192.168.113.1"
  interface "ens160" { addresses = ["192.168.113.148/24"] }
}

host "db01" {
  address = "192.168.113.11"
  gateway = "192.168.113.1"
  interface "ens160" { addresses = ["192.168.113.11/24"] }
}

host "db02" {
  address = "192.168.113.142"
  gateway = "192.168.113.1"
  interface "ens160" { addresses = ["192.168.113.142/24"] }
}

module "mysql" {
  source      = "lvsform://dr"
  vip         = "192.168.113.100"
  port        = 3306
  scheduler   = "rr"
  persistence = { timeout = "50s" }

  # A connection every 6 seconds; three more, 3 seconds apart, before a database
  # counts as dead.
  health_check = {
    type        = "tcp"
    interval    = "6s"
    timeout     = "3s"
    retries     = 3
    retry_delay = "3s"
  }

  directors = {
    lvs01 = { host = host.lvs01, device = "ens160" }
    lvs02 = { host = host.lvs02, device = "ens160" }
  }
  vrrp = {
    virtual_router_id = 51
    priorities        = { lvs01 = 100, lvs02 = 90 }
    advert_interval   = "1s"
    password          = var.vrrp_password
  }

  real_servers = {
    db01 = { host = host.db01, label = "lo:1" }
    db02 = { host = host.db02, label = "lo:1" }
  }
}

output "vip" {
  value       = module.mysql.vip
  description = "Where clients connect to."
}
