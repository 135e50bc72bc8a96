# Tunnelling: the director wraps each request in another packet, addressed to the
# real server, which may stand on any network. The real server unwraps it, holds
# the VIP on its tunnel, and answers the client by itself. A real server cannot
# have another port than the service.
#
# The routers of the real servers must let packets from the VIP out. VIP and real
# servers may be of different families: IPv4 travels in IPv6 and the reverse. A
# wrapped packet is longer by 20 bytes (ipip over IPv4) to 52 (gue over IPv6);
# see `advmss`.

locals {
  ipv6     = strcontains(var.vip, ":")
  prefix   = local.ipv6 ? 128 : 32
  ports    = toset([for port in var.ports != null ? var.ports : [var.port] : tostring(port)])
  director = one(values(var.directors))
  labels = { # the kernel takes 15 characters
    for name, director in var.directors : name => length(director.device) < 14 ? "${director.device}:0" : director.device
  }

  forwarding = local.ipv6 ? "net.ipv6.conf.all.forwarding" : "net.ipv4.ip_forward"
  host_route = var.host_route != null ? var.host_route : false

  # What unwraps the packets of a real server depends on both addresses, its own
  # outside and the VIP inside. All but ipip6 are links that the kernel makes by
  # itself and that take packets from anywhere; ip6tnl0 takes IPv6 only.
  encapsulation = try(var.tunnel.type, "ipip")
  tunnels = {
    for name, server in var.real_servers : name =>
    local.encapsulation == "gre" ? { name = "gre0", kind = "gre", mode = null, local = null } :
    strcontains(coalesce(server.address, server.host.address), ":") ? (
      local.ipv6 ? { name = "ip6tnl0", kind = "ip6tnl", mode = null, local = null } :
      { name = "ipip6", kind = "ip6tnl", mode = "ipip6", local = coalesce(server.address, server.host.address) }
    ) :
    local.ipv6 ? { name = "sit0", kind = "sit", mode = null, local = null } :
    { name = "tunl0", kind = "ipip", mode = null, local = null }
  }
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
  forward         = "tun"

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

      dynamic "tunnel" {
        for_each = local.encapsulation != "ipip" ? [var.tunnel] : []
        content {
          type     = tunnel.value.type
          port     = tunnel.value.type == "gue" ? tunnel.value.port : null
          checksum = tunnel.value.checksum
        }
      }
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

# The link that unwraps requests: tunl0, ip6tnl0, sit0, gre0 or an own one. With
# a gue tunnel also the UDP port at which the real server takes them.
link "tunnel" {
  for_each = var.real_servers
  host     = each.value.host
  name     = local.tunnels[each.key].name
  kind     = local.tunnels[each.key].kind
  mode     = local.tunnels[each.key].mode
  local    = local.tunnels[each.key].local
  up       = true
  mtu      = var.mtu

  dynamic "fou" {
    for_each = local.encapsulation == "gue" ? [var.tunnel.port] : []
    content {
      port     = fou.value
      protocol = "gue"
    }
  }
}

# A request comes from the tunnel and its answer leaves by a NIC, which strict
# filtering of source addresses would drop; 2 asks for a route to the client by
# any interface. The kernel uses the larger of all's and the interface's value.
sysctl "rp_filter" {
  for_each = { for name, server in var.real_servers : name => server if !local.ipv6 }
  host     = each.value.host
  settings = { "net.ipv4.conf.${local.tunnels[each.key].name}.rp_filter" = 2 }
}

# Without these a real server on the director's network answers ARP requests for
# the VIP on its tunnel. IPv6 never answers for an address of another interface.
sysctl "arp" {
  for_each = { for name, server in var.real_servers : name => server if !local.ipv6 }
  host     = each.value.host
  settings = {
    "net.ipv4.conf.all.arp_ignore"   = 1
    "net.ipv4.conf.all.arp_announce" = 2
  }
}

# Only with `real_server_ip_forward`.
sysctl "real_server_forwarding" {
  for_each = { for name, server in var.real_servers : name => server if var.real_server_ip_forward != null }
  host     = each.value.host
  settings = { (local.forwarding) = var.real_server_ip_forward ? 1 : 0 }
}

# The VIP, /32 or /128, on the tunnel.
address "vip_tunnel" {
  for_each  = var.real_servers
  host      = each.value.host
  ip        = "${var.vip}/${local.prefix}"
  device    = local.tunnels[each.key].name
  label     = local.ipv6 ? null : replace(each.value.label, "/^lo/", local.tunnels[each.key].name)
  broadcast = local.ipv6 ? null : var.vip
}

# Only with `host_route`.
route "vip_tunnel" {
  for_each = { for name, server in var.real_servers : name => server if local.host_route }
  host     = each.value.host
  to       = "${var.vip}/${local.prefix}"
  device   = local.tunnels[each.key].name
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
