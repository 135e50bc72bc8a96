# The same file stands in every mode's module, so that a topology changes its
# mode by changing one word of its source.

variable "vip" {
  type        = string
  description = "The virtual IP address that clients connect to, IPv4 or IPv6, without a prefix length."

  validation {
    condition     = can(cidrhost("${var.vip}/32", 0))
    error_message = "vip must be one IP address without a prefix length, like 192.0.2.10 or 2001:db8::10."
  }
}

variable "port" {
  type        = number
  default     = null
  description = "The port of the virtual service. Give this or ports."

  validation {
    condition     = (var.port == null) != (var.ports == null)
    error_message = "Give exactly one of port and ports: port = 80, or ports = [80, 443]."
  }
}

variable "ports" {
  type        = list(number)
  default     = null
  description = "Several ports: each becomes a virtual service of its own with the same real servers."

  validation {
    condition     = var.ports == null || try(length(var.ports) > 0, false)
    error_message = "ports must name at least one port."
  }
}

variable "protocol" {
  type        = string
  default     = "tcp"
  description = "tcp, udp or sctp."

  validation {
    condition     = contains(["tcp", "udp", "sctp"], var.protocol)
    error_message = "protocol must be tcp, udp or sctp."
  }
}

variable "scheduler" {
  type        = string
  default     = "wlc"
  description = "How connections are spread over the real servers: rr, wrr, lc, wlc, lblc, lblcr, dh, sh, sed, nq, fo, ovf, mh or twos."
}

variable "scheduler_flags" {
  type        = list(string)
  default     = []
  description = "Flags of the scheduler as ipvsadm names them, like sh-fallback or mh-port."
}

variable "persistence" {
  type = object({
    timeout = string
    netmask = optional(number)
    engine  = optional(string)
  })
  default     = null
  description = "Keeps a client on its real server: timeout is a duration like \"50s\", netmask a prefix length of clients treated as one, engine a persistence engine (sip). null: connections are independent."
}

variable "drain_timeout" {
  type        = string
  default     = null
  description = "How long the connections of a real server that goes, or changes between NAT and another mode, get to end: a duration like \"30s\", which is also what null means; \"0s\" does not wait."
}

variable "health_check" {
  type = object({
    type        = optional(string, "tcp")
    interval    = optional(string)
    timeout     = optional(string)
    retries     = optional(number)
    retry_delay = optional(string)
    port        = optional(number)
    path        = optional(string)
    status      = optional(list(number))
    host_header = optional(string)
    contains    = optional(string)
    name        = optional(string)
    record      = optional(string)
    helo        = optional(string)
    send        = optional(string)
    receive     = optional(string)
    command     = optional(string)
    user        = optional(string)
  })
  default     = null
  description = "How the checker finds out whether a real server is alive: type is tcp, http, https, dns, smtp, udp, ping or script, and the rest is as in the health_check block of a virtual_service. null: nobody checks."
}

variable "checker" {
  type        = string
  default     = null
  description = "Who keeps the IPVS table and takes dead real servers out of it: none, keepalived or ldirectord. null: keepalived with a health_check, else none."

  validation {
    condition     = contains(["none", "keepalived", "ldirectord"], coalesce(var.checker, "none"))
    error_message = "checker must be none, keepalived or ldirectord."
  }
}

variable "fallback" {
  type = object({
    address = string
    port    = optional(number)
    forward = optional(string)
  })
  default     = null
  description = "Where clients go when no real server is alive; it needs a checker. port defaults to the service's; forward is nat, dr or tun, and defaults to the mode's, for 127.0.0.1 (a program of the director) to dr."
}

variable "quorum" {
  type        = number
  default     = null
  description = "The weight of living real servers below which the service counts as down and clients go to the fallback (keepalived). null: 1."
}

variable "quiescent" {
  type        = bool
  default     = null
  description = "Whether a dead real server gets the weight 0 instead of being taken out of the table. null: as the checker does it, which is true for ldirectord and false for keepalived."
}

variable "directors" {
  type = map(object({
    host       = object({ name = string, address = string })
    device     = string
    label      = optional(string)
    interfaces = optional(list(string))
    inside     = optional(string)
    sync       = optional(string)
  }))
  description = "The director, or with vrrp the directors, by name: its host, the device that carries the VIP, the label of the VIP there (IPv4; default DEVICE:0, or DEVICE where that would be too long), the interfaces that send_redirects is about (default: device alone), and for nat with vrrp the inside device, which carries gateway (default: the one of interfaces that is not device, or else device); sync is the device over which directors tell each other of connections (default: device)."

  validation {
    condition     = length(var.directors) == 1 || var.vrrp != null && length(var.directors) > 1
    error_message = "directors must name exactly one director, or with vrrp at least one: two hosts that hold one VIP at the same time fight over it."
  }
}

variable "real_servers" {
  type = map(object({
    host    = object({ name = string, address = string })
    weight  = optional(number, 1)
    port    = optional(number)
    address = optional(string)
    label   = optional(string, "lo:0")
    gateway = optional(string)
    thresholds = optional(object({
      upper = optional(number, 0)
      lower = optional(number, 0)
    }))
  }))
  description = "The real servers by name. weight 0 drains; port defaults to the service's (only nat and fullnat can map it to another); address defaults to the host's; label is that of the VIP on lo (dr, IPv4; in tun the name of the tunnel takes the place of lo); gateway is the router that takes this server's answers from the VIP where its default route would not (dr and tun); above thresholds.upper connections a server gets no new ones until it is below thresholds.lower."
}

variable "ip_forward" {
  type        = bool
  default     = null
  description = "Whether the director forwards packets between its interfaces. null: on for nat and fullnat, left as it is for dr and tun, which do not need it."
}

variable "send_redirects" {
  type        = bool
  default     = null
  description = "Whether the director sends ICMP redirects, on all, default and its interfaces (IPv4). null: off for nat and fullnat, left as it is for dr and tun."
}

variable "real_server_ip_forward" {
  type        = bool
  default     = null
  description = "Whether the real servers forward packets. null: left as it is."
}

variable "host_route" {
  type        = bool
  default     = null
  description = "Whether the VIP gets a host route in the main table wherever the module puts it. null: for dr with IPv4. The kernel adds the route by itself for IPv6."
}

variable "gateway" {
  type        = string
  default     = null
  description = "nat: the director's inside address, which becomes the real servers' default gateway. null: the address of the director's host. With vrrp it has to be given, as an address of no host: it floats together with the VIP. The other modes leave the default route alone."
}

variable "routing_table" {
  type        = number
  default     = 100
  description = "dr and tun: the routing table with the default route of real_servers.gateway, and the priority of the rule that sends what comes from the VIP there."

  validation {
    condition     = var.routing_table >= 1 && var.routing_table <= 252
    error_message = "routing_table is a number from 1 to 252: the tables above are the system's own."
  }
}

variable "tunnel" {
  type = object({
    type     = optional(string, "ipip")
    port     = optional(number, 6080)
    checksum = optional(string, "none")
  })
  default     = null
  description = "tun: how requests are wrapped on their way to the real servers. type is ipip, gue or gre; port the UDP port of gue; checksum none, csum or remcsum (gue). null: ipip."

  validation {
    condition     = contains(["ipip", "gue", "gre"], try(var.tunnel.type, "ipip"))
    error_message = "tunnel.type must be ipip, gue or gre."
  }
  validation {
    condition     = try(var.tunnel.checksum, "none") == "none" || try(var.tunnel.type, "ipip") == "gue"
    error_message = "tunnel.checksum needs type gue: the tunnels that real servers have by themselves take nothing else."
  }
  validation {
    condition     = try(var.tunnel.type, "ipip") != "gre" || alltrue([for server in values(var.real_servers) : !strcontains(coalesce(server.address, server.host.address), ":")])
    error_message = "A gre tunnel needs real servers with IPv4 addresses; the VIP may be IPv6. Use ipip or gue."
  }
}

variable "mtu" {
  type        = number
  default     = null
  description = "tun: the MTU of the tunnel on the real servers. null: the kernel's."
}

variable "advmss" {
  type        = number
  default     = null
  description = "dr and tun: the largest TCP segment that real servers ask clients for, on their route through real_servers.gateway. In tun an upload hangs without where ICMP is filtered: 1440 leaves room for an ipip header. null: the interface's."

  validation {
    condition     = var.advmss == null || alltrue([for server in values(var.real_servers) : server.gateway != null])
    error_message = "advmss stands on the route to a real server's own gateway: give every real server a gateway."
  }
}

variable "source_address" {
  type        = string
  default     = null
  description = "fullnat: the address of the director that real servers see as their client. null: that of the interface towards each of them."
}

variable "vrrp" {
  type = object({
    virtual_router_id = number
    priorities        = map(number)
    advert_interval   = optional(string, "1s")
    password          = optional(string)
    preempt           = optional(bool, true)
    preempt_delay     = optional(string)
    version           = optional(number)
    unicast           = optional(bool, false)
    track_interfaces  = optional(list(string), [])
    gateway_router_id = optional(number)
    sync_group        = optional(string)
    connection_sync   = optional(bool)
    sync_id           = optional(number)
  })
  default     = null
  description = "Several directors, of which one holds the VIP: keepalived's VRRP moves it. virtual_router_id is a number from 1 to 255 that nobody else on the network uses; priorities one for each director by name, the highest is the master's; password at most 8 characters (VRRP version 2; sensitive); preempt = false leaves the VIP where it is when the master returns; unicast speaks to the other directors alone; gateway_router_id (nat) is the id on the inside network, by default the same; sync_group (nat) names the group in which the two are one; connection_sync lets open connections survive a failover: every director tells the others of its connections, and hears of theirs (multicast to 224.0.0.81, UDP port 8848; null: on, but for fullnat, which keeps a part of a connection where nobody is told of it, for unicast, and where address families are mixed); sync_id is the number from 1 to 255 under which they do (null: virtual_router_id), and modules on the same directors need the same one. null: one director, which always holds the VIP."

  validation {
    condition     = var.vrrp == null || try(join(",", sort(keys(var.vrrp.priorities))) == join(",", sort(keys(var.directors))), false)
    error_message = "vrrp.priorities must have one number for each of the directors, by their names."
  }
  validation {
    condition     = try(length(distinct(values(var.vrrp.priorities))) == length(var.vrrp.priorities), true)
    error_message = "vrrp.priorities must be different: the highest is the master's."
  }
}
