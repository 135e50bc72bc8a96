package check_test

// paired is a pair of directors with one floating VIP, whose real servers
// keepalived checks.
const paired = `topology "t" {}
host "dir1" {
  address = "192.0.2.2"
  interface "eth0" { addresses = ["192.0.2.2/24"] }
}
host "dir2" {
  address = "192.0.2.3"
  interface "eth0" { addresses = ["192.0.2.3/24"] }
}
host "rs1" {
  address = "192.0.2.11"
  gateway = "192.0.2.1"
  interface "eth0" { addresses = ["192.0.2.11/24"] }
}
vrrp_instance "one" {
  host              = host.dir1
  interface         = "eth0"
  virtual_router_id = 51
  priority          = 100
  state             = "MASTER"
  advert_interval   = "1s"
  authentication { password = "one" }
  virtual_address "vip" { ip = "192.0.2.100/32" }
}
vrrp_instance "two" {
  host              = host.dir2
  interface         = "eth0"
  virtual_router_id = (51)
  priority          = 90
  advert_interval   = "1000ms"
  authentication { password = "o${"n"}e" }
  virtual_address "vip" { ip = "192.0.2.${100}/32" }
}
virtual_service "one" {
  host     = host.dir1
  protocol = "tcp"
  address  = "192.0.2.100"
  port     = 80
  health_check "tcp" {}
  real_server "rs1" {
    host = host.rs1
  }
}
virtual_service "two" {
  host     = host.dir2
  protocol = "tcp"
  address  = "192.0.2.100"
  port     = 80
  checker  = "keepalived"
  real_server "rs1" {
    host = host.rs1
  }
}
address "lo" {
  host   = host.rs1
  ip     = "192.0.2.100/32"
  device = "lo"
}
sysctl "arp" {
  host     = host.rs1
  settings = { "net.ipv4.conf.all.arp_ignore" = 1, "net.ipv4.conf.all.arp_announce" = 2 }
}
`

// another is a second group on the network of paired.
const another = `vrrp_instance "other" {
  host              = host.rs1
  interface         = "eth0"
  virtual_router_id = 51
  priority          = 10
  virtual_address "vip" { ip = "192.0.2.200/32" }
}
`

// second is a group that one of the pair would be master of, in one sync group.
const second = `vrrp_instance "second" {
  for_each          = { dir1 = host.dir1, dir2 = host.dir2 }
  host              = each.value
  interface         = "eth0"
  virtual_router_id = 52
  priority          = each.key == "dir1" ? 10 : 20
  sync_group        = "web"
  virtual_address "vip" { ip = "192.0.2.200/32" }
}
`

// both are the two sync daemons of a director of paired.
const both = `ipvs "connections" {
  host = host.dir1
  sync "master" {
    interface = "eth0"
  }
  sync "backup" {
    interface = "eth0"
  }
}
sysctl "backup" {
  host     = host.dir1
  settings = { "net.ipv4.vs.backup_only" = 0 }
}
`
