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
  ipv6   = strcontains(var.vip, ":")
  prefix = local.ipv6 ? 128 : 32
  ports  = toset([for port in var.ports != null ? var.ports : [var.port] : tostring(port)])
  labels = { # the kernel takes 15 characters
    for name, director in var.directors : name => length(director.device) < 14 ? "${director.device}:0" : director.device
  }

  # The director, or the one that VRRP prefers. One that does not take the VIP
  # back, or not at once, begins as a backup, for keepalived would not heed it.
  pair     = nonsensitive(var.vrrp != null)
  masters  = [for name in keys(var.directors) : name if !local.pair || try(var.vrrp.priorities[name] == max(values(var.vrrp.priorities)...), false)]
  director = var.directors[element(local.masters, 0)]
  preempts = try(var.vrrp.preempt && var.vrrp.preempt_delay == null, false)
  password = try(nonsensitive(var.vrrp.password != null), false)
  peers    = { for name in keys(var.directors) : name => [for other, director in var.directors : director.host if other != name] }
  services = {
    for each in setproduct(local.pair ? keys(var.directors) : [local.masters[0]], local.ports) :
    (local.pair ? "${each[0]}:${each[1]}" : each[1]) => { director = var.directors[each[0]], port = tonumber(each[1]) }
  }
  checker   = var.checker != null ? var.checker : var.health_check != null ? "keepalived" : "none"
  quiescent = var.quiescent != null ? var.quiescent : local.checker == "ldirectord"

  # Told by multicast, in a form that has one address family for a connection.
  synced = local.pair && try(coalesce(var.vrrp.connection_sync, !var.vrrp.unicast && length(var.directors) > 1 && alltrue([for server in values(var.real_servers) : strcontains(coalesce(server.address, server.host.address), ":") == local.ipv6])), false)

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

# Where the checker gives a dead real server the weight 0, a client with
# persistence would come back to it.
sysctl "quiescent" {
  for_each = { for name, director in var.directors : name => director if var.persistence != null && local.checker != "none" && local.quiescent }
  host     = each.value.host
  settings = { "net.ipv4.vs.expire_quiescent_template" = 1 }
}

# One IPVS service for each port, with all real servers; with `vrrp` on each
# director, ready for the time when the VIP comes.
virtual_service "port" {
  for_each        = local.services
  host            = each.value.director.host
  protocol        = var.protocol
  address         = var.vip
  port            = each.value.port
  scheduler       = var.scheduler
  scheduler_flags = var.scheduler_flags
  drain_timeout   = var.drain_timeout
  forward         = "tun"
  checker         = local.checker
  quorum          = var.quorum
  quiescent       = var.quiescent

  dynamic "persistence" {
    for_each = var.persistence != null ? [var.persistence] : []
    content {
      timeout = persistence.value.timeout
      netmask = persistence.value.netmask
      engine  = persistence.value.engine
    }
  }

  dynamic "health_check" {
    for_each = var.health_check != null ? [var.health_check] : []
    labels   = [health_check.value.type]
    content {
      interval    = health_check.value.interval
      timeout     = health_check.value.timeout
      retries     = health_check.value.retries
      retry_delay = health_check.value.retry_delay
      port        = health_check.value.port
      path        = health_check.value.path
      status      = health_check.value.status
      host_header = health_check.value.host_header
      contains    = health_check.value.contains
      name        = health_check.value.name
      record      = health_check.value.record
      helo        = health_check.value.helo
      send        = health_check.value.send
      receive     = health_check.value.receive
      command     = health_check.value.command
      user        = health_check.value.user
    }
  }

  dynamic "fallback" {
    for_each = var.fallback != null ? [var.fallback] : []
    content {
      address = fallback.value.address
      port    = fallback.value.port
      forward = fallback.value.forward
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

# The VIP, /32 or /128, on the director's device; with `vrrp` it floats instead.
address "vip" {
  for_each = { for name, director in var.directors : name => director if !local.pair }
  host     = each.value.host
  ip       = "${var.vip}/${local.prefix}"
  device   = each.value.device
  label    = local.ipv6 ? null : coalesce(each.value.label, local.labels[each.key])
}

# Only with `vrrp`: keepalived gives the VIP to the living director of the
# highest priority.
vrrp_instance "vip" {
  for_each          = { for name, director in var.directors : name => director if local.pair }
  host              = each.value.host
  interface         = each.value.device
  virtual_router_id = var.vrrp.virtual_router_id
  priority          = var.vrrp.priorities[each.key]
  state             = local.preempts && contains(local.masters, each.key) ? "MASTER" : "BACKUP"
  advert_interval   = var.vrrp.advert_interval
  preempt           = var.vrrp.preempt
  preempt_delay     = var.vrrp.preempt_delay
  version           = var.vrrp.version
  track_interfaces  = var.vrrp.track_interfaces
  sync_group        = var.vrrp.sync_group

  dynamic "authentication" {
    for_each = local.password ? [true] : []
    content { password = var.vrrp.password }
  }

  dynamic "unicast" {
    for_each = var.vrrp.unicast ? [local.peers[each.key]] : []
    content { peers = unicast.value }
  }

  virtual_address "vip" {
    ip       = "${var.vip}/${local.prefix}"
    label    = local.ipv6 ? null : coalesce(each.value.label, local.labels[each.key])
    excluded = false
  }
}

# Only with `vrrp` and its `connection_sync`: what the director with the VIP knows
# of connections, the others know too, so that these go on when one of them takes
# the VIP. Each tells and hears, for the roles may change at any moment.
ipvs "connections" {
  for_each = { for name, director in var.directors : name => director if local.synced }
  host     = each.value.host

  sync "master" {
    interface = coalesce(each.value.sync, each.value.device)
    id        = coalesce(var.vrrp.sync_id, var.vrrp.virtual_router_id)
  }
  sync "backup" {
    interface = coalesce(each.value.sync, each.value.device)
    id        = coalesce(var.vrrp.sync_id, var.vrrp.virtual_router_id)
  }
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
