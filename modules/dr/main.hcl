# Direct routing: the director passes a request on by its MAC address alone, and
# the real server answers the client by itself. So both hold the VIP, the real
# servers must never answer ARP requests for it, and all of them stand on one
# network. A real server cannot have another port than the service: nothing
# rewrites it on the way.

locals {
  ipv6     = strcontains(var.vip, ":")
  prefix   = local.ipv6 ? 128 : 32
  ports    = toset([for port in var.ports != null ? var.ports : [var.port] : tostring(port)])
  director = one(values(var.directors))
  labels = { # the kernel takes 15 characters
    for name, director in var.directors : name => length(director.device) < 14 ? "${director.device}:0" : director.device
  }

  forwarding = local.ipv6 ? "net.ipv6.conf.all.forwarding" : "net.ipv4.ip_forward"
  host_route = var.host_route != null ? var.host_route : !local.ipv6
}

# The director -----------------------------------------------------------------

# Only with `ip_forward`: IPVS hands packets to real servers by itself.
sysctl "forwarding" {
  for_each = { for name, director in var.directors : name => director if var.ip_forward != null }
  host     = each.value.host
  settings = { (local.forwarding) = var.ip_forward ? 1 : 0 }
}

# Only with `send_redirects`.
sysctl "redirects" {
  for_each = { for name, director in var.directors : name => director if var.send_redirects != null }
  host     = each.value.host
  settings = {
    for interface in concat(["all", "default"], each.value.interfaces != null ? each.value.interfaces : [each.value.device]) :
    "net.ipv4.conf.${replace(interface, ".", "/")}.send_redirects" => var.send_redirects ? 1 : 0
  }
}

# One IPVS service for each port, with all real servers.
virtual_service "port" {
  for_each        = local.ports
  host            = local.director.host
  protocol        = var.protocol
  address         = var.vip
  port            = tonumber(each.key)
  scheduler       = var.scheduler
  scheduler_flags = var.scheduler_flags
  drain_timeout   = var.drain_timeout
  forward         = "dr"

  dynamic "persistence" {
    for_each = var.persistence != null ? [var.persistence] : []
    content {
      timeout = persistence.value.timeout
      netmask = persistence.value.netmask
      engine  = persistence.value.engine
    }
  }

  dynamic "real_server" {
    for_each = var.real_servers
    labels   = [real_server.key]
    content {
      host            = real_server.value.host
      address         = real_server.value.address
      port            = real_server.value.port
      weight          = real_server.value.weight
      upper_threshold = try(real_server.value.thresholds.upper, null)
      lower_threshold = try(real_server.value.thresholds.lower, null)
    }
  }
}

# The VIP, /32 or /128, on the director's device.
address "vip" {
  for_each = var.directors
  host     = each.value.host
  ip       = "${var.vip}/${local.prefix}"
  device   = each.value.device
  label    = local.ipv6 ? null : coalesce(each.value.label, local.labels[each.key])
}

# The VIP's host route (`host_route`).
route "vip" {
  for_each = { for name, director in var.directors : name => director if local.host_route }
  host     = each.value.host
  to       = "${var.vip}/${local.prefix}"
  device   = each.value.device
}

# The real servers -------------------------------------------------------------

# Without these a real server answers ARP requests for the VIP on its lo, and
# clients then reach it past the director. `all` is what counts: the kernel uses
# the larger of all's and the interface's value. IPv6 never answers for an
# address of another interface.
sysctl "arp" {
  for_each = { for name, server in var.real_servers : name => server if !local.ipv6 }
  host     = each.value.host
  settings = {
    "net.ipv4.conf.all.arp_ignore"   = 1
    "net.ipv4.conf.all.arp_announce" = 2
    "net.ipv4.conf.lo.arp_ignore"    = 1
    "net.ipv4.conf.lo.arp_announce"  = 2
  }
}

# Only with `real_server_ip_forward`.
sysctl "real_server_forwarding" {
  for_each = { for name, server in var.real_servers : name => server if var.real_server_ip_forward != null }
  host     = each.value.host
  settings = { (local.forwarding) = var.real_server_ip_forward ? 1 : 0 }
}

# /32: with a wider prefix on lo the whole network would become local.
address "vip_lo" {
  for_each  = var.real_servers
  host      = each.value.host
  ip        = "${var.vip}/${local.prefix}"
  device    = "lo"
  label     = local.ipv6 ? null : each.value.label
  broadcast = local.ipv6 ? null : var.vip
}

# The VIP's host route on lo (`host_route`).
route "vip_lo" {
  for_each = { for name, server in var.real_servers : name => server if local.host_route }
  host     = each.value.host
  to       = "${var.vip}/${local.prefix}"
  device   = "lo"
}

# Where the default route does not lead to the clients, what comes from the VIP
# takes a route of its own.
rule "answers" {
  for_each = { for name, server in var.real_servers : name => server if server.gateway != null }
  host     = each.value.host
  from     = "${var.vip}/${local.prefix}"
  table    = var.routing_table
  priority = var.routing_table
}

# The default route of that table, by `real_servers.gateway`, with `advmss`.
route "answers" {
  for_each = { for name, server in var.real_servers : name => server if server.gateway != null }
  host     = each.value.host
  to       = "default"
  via      = each.value.gateway
  table    = var.routing_table
  advmss   = var.advmss
}
