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
  description = "The host that holds the VIP."
}

output "real_servers" {
  value       = { for name, server in var.real_servers : name => server.host }
  description = "The hosts of the real servers, by name."
}
