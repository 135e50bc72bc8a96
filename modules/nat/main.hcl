# Network address translation: the director rewrites the destination of a request
# to a real server, and the source of its answer back to the VIP. The real
# servers need not know of the VIP, and their ports may differ from the service's,
# but every answer has to pass the director: it becomes their default gateway.

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
  gateway        = var.gateway != null ? var.gateway : local.director.host.address
}

# The director -----------------------------------------------------------------

# Answers pass from the real servers' network to that of the clients.
sysctl "forwarding" {
  for_each = var.directors
  host     = each.value.host
  settings = { (local.forwarding) = local.ip_forward ? 1 : 0 }
}

# A redirect would tell a real server on the client's network to answer the
# client directly, with an address that the client has never spoken to. The
# kernel redirects when either `all` or the interface says so.
sysctl "redirects" {
  for_each = { for name, director in var.directors : name => director if !local.ipv6 || var.send_redirects != null }
  host     = each.value.host
  settings = {
    for interface in concat(["all", "default"], each.value.interfaces != null ? each.value.interfaces : [each.value.device]) :
    "net.ipv4.conf.${replace(interface, ".", "/")}.send_redirects" => local.send_redirects ? 1 : 0
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

# The real server's default route: the director.
route "gateway" {
  for_each = var.real_servers
  host     = each.value.host
  to       = "default"
  via      = local.gateway
}

# Only with `real_server_ip_forward`.
sysctl "real_server_forwarding" {
  for_each = { for name, server in var.real_servers : name => server if var.real_server_ip_forward != null }
  host     = each.value.host
  settings = { (local.forwarding) = var.real_server_ip_forward ? 1 : 0 }
}
