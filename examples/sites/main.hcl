# Several sites of the same kind: a module from a git repository describes one,
# and for_each makes the others. `lvsform init` fetches the module at the tag that
# the source names and pins it in .lvsform.lock.hcl, which belongs into your own
# repository; `lvsform init --upgrade` takes what the tag names by then.

topology "sites" {}

variable "sites" {
  description = "The sites by name. One entry more is one site more."
  type = map(object({
    vip          = string
    director     = string
    real_servers = map(string)
  }))
  default = {
    berlin = {
      vip          = "192.0.2.100"
      director     = "192.0.2.9"
      real_servers = { rs1 = "192.0.2.11", rs2 = "192.0.2.12" }
    }
    lisbon = {
      vip          = "198.51.100.100"
      director     = "198.51.100.9"
      real_servers = { rs1 = "198.51.100.11", rs2 = "198.51.100.12" }
    }
  }
}

module "site" {
  for_each = var.sites
  source   = "git::https://git.example.net/lvs/modules.git//site?ref=v1.0.0"

  name         = each.key
  vip          = each.value.vip
  director     = each.value.director
  real_servers = each.value.real_servers
}

output "vips" {
  value       = { for name, site in module.site : name => site.vip }
  description = "Where the clients of each site connect to."
}
