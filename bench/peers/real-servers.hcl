# What direct routing asks of each real server: it must not answer ARP for the
# VIP, and must accept packets to it.

topology "bench" {}

variable "servers" {
  type        = map(string)
  description = "Address of each real server by name."
}

host "rs" {
  for_each = var.servers
  name     = each.key
  address  = each.value
  interface "eth0" { addresses = ["${each.value}/16"] }
}

sysctl "arp" {
  for_each = var.servers
  host     = host.rs[each.key]
  settings = {
    "net.ipv4.conf.all.arp_ignore"   = 1
    "net.ipv4.conf.all.arp_announce" = 2
    "net.ipv4.conf.lo.arp_ignore"    = 1
    "net.ipv4.conf.lo.arp_announce"  = 2
  }
}

address "vip" {
  for_each = var.servers
  host     = host.rs[each.key]
  ip       = "10.99.0.1/32"
  device   = "lo"
  label    = "lo:0"
}

route "vip" {
  for_each = var.servers
  host     = host.rs[each.key]
  to       = "10.99.0.1/32"
  device   = "lo"
}
