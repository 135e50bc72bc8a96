# One site: its own director and real servers, by direct routing.

variable "vip" {
  type        = string
  description = "What the site's clients connect to."
}

variable "director" {
  type        = string
  description = "The address of the director."
}

variable "real_servers" {
  type        = map(string)
  description = "The addresses of the real servers, by name."
}

variable "name" {
  type        = string
  description = "The site's name, in front of the names of its hosts."
}

variable "prefix" {
  type        = number
  default     = 24
  description = "The prefix length of the site's network."
}

host "director" {
  name    = "${var.name}-dir"
  address = var.director
  interface "eth0" { addresses = ["${var.director}/${var.prefix}"] }
}

host "rs" {
  for_each = var.real_servers
  name     = "${var.name}-${each.key}"
  address  = each.value
  interface "eth0" { addresses = ["${each.value}/${var.prefix}"] }
}

module "web" {
  source    = "lvsform://dr"
  vip       = var.vip
  port      = 80
  scheduler = "rr"

  directors    = { director = { host = host.director, device = "eth0" } }
  real_servers = { for name, address in var.real_servers : name => { host = host.rs[name] } }
}

output "vip" {
  value       = var.vip
  description = "What the site's clients connect to."
}
