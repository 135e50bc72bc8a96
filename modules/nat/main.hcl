# Network address translation: the director rewrites the destination of a request
# to a real server, and the source of its answer back to the VIP. The real
# servers need not know of the VIP, and their ports may differ from the service's,
# but every answer has to pass the director: it becomes their default gateway.

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

  forwarding     = local.ipv6 ? "net.ipv6.conf.all.forwarding" : "net.ipv4.ip_forward"
  ip_forward     = var.ip_forward != null ? var.ip_forward : true
  send_redirects = var.send_redirects != null ? var.send_redirects : false
  host_route     = var.host_route != null ? var.host_route : false
  gateway        = var.gateway != null ? var.gateway : local.pair ? "gateway-is-missing" : local.director.host.address

  # Where the gateway floats.
  insides = {
    for name, director in var.directors : name =>
    coalesce(director.inside, one([for other in coalesce(director.interfaces, []) : other if other != director.device]), director.device)
  }
  apart      = anytrue([for name, director in var.directors : local.insides[name] != director.device])
  sync_group = try(coalesce(var.vrrp.sync_group, local.apart ? "vrid-${var.vrrp.virtual_router_id}" : null), null)
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
  forward         = "nat"
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
  sync_group        = local.sync_group

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

  dynamic "virtual_address" {
    for_each = local.insides[each.key] == each.value.device ? ["gateway"] : []
    labels   = [virtual_address.value]
    content {
      ip       = "${local.gateway}/${local.prefix}"
      excluded = true
    }
  }
}

# Only with `vrrp`, where the inside network has a device of its own: the real
# servers' gateway goes where the VIP goes, for the two are one sync group.
vrrp_instance "gateway" {
  for_each          = { for name, director in var.directors : name => director if local.pair && local.insides[name] != director.device }
  host              = each.value.host
  interface         = local.insides[each.key]
  virtual_router_id = coalesce(var.vrrp.gateway_router_id, var.vrrp.virtual_router_id)
  priority          = var.vrrp.priorities[each.key]
  state             = local.preempts && contains(local.masters, each.key) ? "MASTER" : "BACKUP"
  advert_interval   = var.vrrp.advert_interval
  preempt           = var.vrrp.preempt
  preempt_delay     = var.vrrp.preempt_delay
  version           = var.vrrp.version
  sync_group        = local.sync_group

  dynamic "authentication" {
    for_each = local.password ? [true] : []
    content { password = var.vrrp.password }
  }

  dynamic "unicast" {
    for_each = var.vrrp.unicast ? [local.peers[each.key]] : []
    content { peers = unicast.value }
  }

  virtual_address "gateway" { ip = "${local.gateway}/${local.prefix}" }
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

# The real server's default route: the director.
route "gateway" {
  for_each = var.real_servers
  host     = each.value.host
  to       = var.gateway != null || !local.pair ? "default" : "nat with vrrp needs gateway, the inside address that floats"
  via      = local.gateway
}

# Only with `real_server_ip_forward`.
sysctl "real_server_forwarding" {
  for_each = { for name, server in var.real_servers : name => server if var.real_server_ip_forward != null }
  host     = each.value.host
  settings = { (local.forwarding) = var.real_server_ip_forward ? 1 : 0 }
}
