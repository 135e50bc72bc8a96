variable "addresses" {
  type = map(object({
    ip       = string
    devices  = optional(map(string))
    label    = optional(string)
    excluded = optional(bool)
  }))
  description = "What floats, by name: ip is an address, alone (/32, /128) or with a prefix length; devices the interface on each director by name where it is not the director's own; label an alias like eth0:0 (IPv4); excluded keeps it out of the advertisements (default: all but the first by name, so that addresses come and go without a quarrel)."

  validation {
    condition     = length(var.addresses) > 0
    error_message = "addresses must have at least one: vip = { ip = \"192.0.2.10\" }."
  }
}

variable "directors" {
  type = map(object({
    host      = object({ name = string, address = string })
    device    = string
    router_id = optional(string)
    sync      = optional(string)
  }))
  description = "The hosts by name: the device that carries advertisements and addresses, and router_id, the host's name in keepalived's log (default: its own), and sync, the device over which they tell each other of connections (default: device)."

  validation {
    condition     = length(var.directors) > 0
    error_message = "directors must name at least one host, and two for high availability."
  }
}

variable "virtual_router_id" {
  type        = number
  description = "The group's number on its network, from 1 to 255."
}

variable "priorities" {
  type        = map(number)
  description = "One number from 1 to 255 for each director by name: the highest is the master's."

  validation {
    condition     = join(",", sort(keys(var.priorities))) == join(",", sort(keys(var.directors)))
    error_message = "priorities must have one number for each of the directors, by their names."
  }
  validation {
    condition     = length(distinct(values(var.priorities))) == length(var.priorities)
    error_message = "priorities must be different: the highest is the master's."
  }
}

variable "advert_interval" {
  type        = string
  default     = "1s"
  description = "How often the master says that it is alive; after three times as much another takes over. Whole seconds, in version 3 hundredths."
}

variable "password" {
  type        = string
  default     = null
  sensitive   = true
  description = "The group's password, at most 8 characters (VRRP version 2). null: none."
}

variable "authentication" {
  type        = string
  default     = "PASS"
  description = "How the password is used: PASS (sent along) or AH (an authentication header)."

  validation {
    condition     = contains(["PASS", "AH"], var.authentication)
    error_message = "authentication must be PASS or AH."
  }
}

variable "preempt" {
  type        = bool
  default     = true
  description = "Whether a director of a higher priority takes the addresses over from a living one."
}

variable "preempt_delay" {
  type        = string
  default     = null
  description = "How long such a director waits before it does. null: not at all."
}

variable "vrrp_version" {
  type        = number
  default     = null
  description = "2 or 3. null: 2 for IPv4, 3 for IPv6."
}

variable "unicast" {
  type        = bool
  default     = false
  description = "Whether directors speak to each other's host addresses instead of a multicast group."
}

variable "track_interfaces" {
  type        = list(string)
  default     = []
  description = "Interfaces without which a director gives the addresses up; the device of the group is always one."
}

variable "sync_group" {
  type        = string
  default     = null
  description = "Groups of one name on a host move together. null: this one moves alone."
}

variable "connection_sync" {
  type        = bool
  default     = false
  description = "Whether open connections of virtual services behind the addresses survive a failover: every director tells the others of its connections, and hears of theirs (multicast to 224.0.0.81, UDP port 8848). For services that are written without a mode's module, which does this by itself."
}

variable "sync_id" {
  type        = number
  default     = null
  description = "The number from 1 to 255 under which they do: the same for all modules on these directors. null: virtual_router_id."
}
