# FullNAT: the director rewrites both addresses of a request, so that its answer
# comes back to it whatever the real server's gateway is. IPVS rewrites the
# destination as for nat; the kernel's connection tracking and a rule of nftables
# rewrite the source.
#
# What it costs: real servers see the director's address in place of the
# client's; an address of the director has some 64000 ports towards one port of a
# real server, so that is how many connections there can be at a time; connections
# do not survive a change of the director.

locals {
  ipv6     = strcontains(var.vip, ":")
  prefix   = local.ipv6 ? 128 : 32
  ports    = toset([for port in var.ports != null ? var.ports : [var.port] : tostring(port)])
  director = one(values(var.directors))
  labels = { # the kernel takes 15 characters
    for name, director in var.directors : name => length(director.device) < 14 ? "${director.device}:0" : director.device
  }

  forwarding     = local.ipv6 ? "net.ipv6.conf.all.forwarding" : "net.ipv4.ip_forward"
  ip_forward     = var.ip_forward != null ? var.ip_forward : true
  send_redirects = var.send_redirects != null ? var.send_redirects : false
  host_route     = var.host_route != null ? var.host_route : false
}

# The director -----------------------------------------------------------------

# Answers pass from the real servers' networks to that of the clients.
sysctl "forwarding" {
  for_each = var.directors
  host     = each.value.host
  settings = { (local.forwarding) = local.ip_forward ? 1 : 0 }
}

# Where clients and real servers share a network, a redirect would tell a real
# server a way past the director. The kernel redirects when either `all` or the
# interface says so.
sysctl "redirects" {
  for_each = { for name, director in var.directors : name => director if !local.ipv6 || var.send_redirects != null }
  host     = each.value.host
  settings = {
    for interface in concat(["all", "default"], each.value.interfaces != null ? each.value.interfaces : [each.value.device]) :
    "net.ipv4.conf.${replace(interface, ".", "/")}.send_redirects" => local.send_redirects ? 1 : 0
  }
}

# Without it IPVS hides its connections from connection tracking, and with it
# from nftables. The name says ipv4; it holds for both families.
sysctl "conntrack" {
  for_each = var.directors
  host     = each.value.host
  settings = { "net.ipv4.vs.conntrack" = 1 }
}

# Only connections to the VIP are touched, told by their original destination.
masquerade "port" {
  for_each = local.ports
  host     = local.director.host
  vip      = var.vip
  protocol = var.protocol
  port     = tonumber(each.key)
  to       = [for server in values(var.real_servers) : coalesce(server.address, server.host.address)]
  source   = var.source_address
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
  forward         = "nat"

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

# Only with `host_route`.
route "vip" {
  for_each = { for name, director in var.directors : name => director if local.host_route }
  host     = each.value.host
  to       = "${var.vip}/${local.prefix}"
  device   = each.value.device
}

# The real servers -------------------------------------------------------------

# They need nothing: no VIP, no gateway, no sysctl.

# Only with `real_server_ip_forward`.
sysctl "real_server_forwarding" {
  for_each = { for name, server in var.real_servers : name => server if var.real_server_ip_forward != null }
  host     = each.value.host
  settings = { (local.forwarding) = var.real_server_ip_forward ? 1 : 0 }
}
