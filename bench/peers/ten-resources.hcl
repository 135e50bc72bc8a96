# Ten resources on each host, of the kinds that real servers have.

topology "scale" {}

variable "servers" {
  type        = map(string)
  description = "Address of each real server by name."
}

host "rs" {
  for_each = var.servers
  name     = each.key
  address  = each.value
  interface "eth0" { addresses = ["${each.value}/12"] }
  gateway = "10.64.0.1"
}

sysctl "arp" {
  for_each = var.servers
  host     = host.rs[each.key]
  settings = {
    "net.ipv4.conf.all.arp_ignore"   = 1
    "net.ipv4.conf.all.arp_announce" = 2
  }
}

sysctl "lo" {
  for_each = var.servers
  host     = host.rs[each.key]
  settings = {
    "net.ipv4.conf.lo.arp_ignore"   = 1
    "net.ipv4.conf.lo.arp_announce" = 2
  }
}

link "lo" {
  for_each = var.servers
  host     = host.rs[each.key]
  name     = "lo"
  kind     = "existing"
  up       = true
}

address "vip_1" {
  for_each = var.servers
  host     = host.rs[each.key]
  ip       = "10.99.0.1/32"
  device   = "lo"
}

route "vip_1" {
  for_each = var.servers
  host     = host.rs[each.key]
  to       = "10.99.0.1/32"
  device   = "lo"
}

address "vip_2" {
  for_each = var.servers
  host     = host.rs[each.key]
  ip       = "10.99.0.2/32"
  device   = "lo"
}

route "vip_2" {
  for_each = var.servers
  host     = host.rs[each.key]
  to       = "10.99.0.2/32"
  device   = "lo"
}

address "vip_3" {
  for_each = var.servers
  host     = host.rs[each.key]
  ip       = "10.99.0.3/32"
  device   = "lo"
}

route "vip_3" {
  for_each = var.servers
  host     = host.rs[each.key]
  to       = "10.99.0.3/32"
  device   = "lo"
}

rule "management" {
  for_each = var.servers
  host     = host.rs[each.key]
  from     = "${each.value}/32"
  table    = 254
  priority = 1000
}
