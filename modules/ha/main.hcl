# High availability alone: addresses that float between hosts by keepalived's
# VRRP, whatever is served there. The modes' modules have the same as `vrrp`; this
# one is for addresses of no virtual service, for services that are written
# without a module, and for several virtual services behind one group.

locals {
  # One that does not take the addresses back, or not at once, begins as a backup,
  # for keepalived would not heed it.
  masters  = [for name in keys(var.directors) : name if try(var.priorities[name] == max(values(var.priorities)...), false)]
  preempts = var.preempt && var.preempt_delay == null
  password = nonsensitive(var.password != null)
  peers    = { for name in keys(var.directors) : name => [for other, director in var.directors : director.host if other != name] }
}

# Each director's part in the group: the living one of the highest priority has
# the addresses.
vrrp_instance "pair" {
  for_each          = var.directors
  host              = each.value.host
  interface         = each.value.device
  router_id         = each.value.router_id
  virtual_router_id = var.virtual_router_id
  priority          = var.priorities[each.key]
  state             = local.preempts && contains(local.masters, each.key) ? "MASTER" : "BACKUP"
  advert_interval   = var.advert_interval
  preempt           = var.preempt
  preempt_delay     = var.preempt_delay
  version           = var.vrrp_version
  track_interfaces  = var.track_interfaces
  sync_group        = var.sync_group

  dynamic "authentication" {
    for_each = local.password ? [true] : []
    content {
      type     = var.authentication
      password = var.password
    }
  }

  dynamic "unicast" {
    for_each = var.unicast ? [local.peers[each.key]] : []
    content { peers = unicast.value }
  }

  dynamic "virtual_address" {
    for_each = var.addresses
    labels   = [virtual_address.key]
    content {
      ip       = strcontains(virtual_address.value.ip, "/") ? virtual_address.value.ip : "${virtual_address.value.ip}/${strcontains(virtual_address.value.ip, ":") ? 128 : 32}"
      device   = try(virtual_address.value.devices[each.key], null)
      label    = virtual_address.value.label
      excluded = virtual_address.value.excluded
    }
  }
}

# Only with `connection_sync`: what the director with the addresses knows of
# connections, the others know too. Each tells and hears, for the roles may change
# at any moment.
ipvs "connections" {
  for_each = { for name, director in var.directors : name => director if var.connection_sync }
  host     = each.value.host

  sync "master" {
    interface = coalesce(each.value.sync, each.value.device)
    id        = coalesce(var.sync_id, var.virtual_router_id)
  }
  sync "backup" {
    interface = coalesce(each.value.sync, each.value.device)
    id        = coalesce(var.sync_id, var.virtual_router_id)
  }
}
