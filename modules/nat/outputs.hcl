output "vip" {
  value       = var.vip
  description = "The virtual IP address."
}

output "services" {
  value = {
    for port in local.ports : port => {
      protocol = var.protocol
      address  = var.vip
      port     = tonumber(port)
    }
  }
  description = "Protocol, address and port of each virtual service, by port."
}

output "director" {
  value       = local.director.host
  description = "The host that holds the VIP; with vrrp the one of the highest priority."
}

output "directors" {
  value       = { for name, director in var.directors : name => director.host }
  description = "The hosts of all directors, by name."
}

output "real_servers" {
  value       = { for name, server in var.real_servers : name => server.host }
  description = "The hosts of the real servers, by name."
}
