output "addresses" {
  value       = { for name, address in var.addresses : name => element(split("/", address.ip), 0) }
  description = "The floating addresses by name, without a prefix length."
}

output "director" {
  value       = var.directors[element(local.masters, 0)].host
  description = "The host of the highest priority."
}

output "directors" {
  value       = { for name, director in var.directors : name => director.host }
  description = "The hosts by name."
}
