package check

import "github.com/lvsform/lvsform/topology"

// hostChecks are LVS015 to LVS031: services, hosts and what surrounds them.
func hostChecks() []Check {
	return []Check{
		{
			ID: "LVS015", Severity: topology.Error,
			Title: "a value that the kernel or the scheduler does not take",
			Why: "Flags belong to one scheduler: the kernel stores them as numbers, so sh-port under mh means something else, and under rr nothing. A lower threshold above the upper one, a weight outside 0 to 2147483647, " +
				"or port 0 without persistence are refused by the kernel in the middle of an apply.",
			See: []string{"ipvsadm -Ln --thresholds"},
			Fix: "Take the flag of the service's own scheduler (sh-fallback and sh-port for sh, mh-fallback and mh-port for mh), and values within the ranges of docs/language.md.",
		},
		{
			ID: "LVS016", Severity: topology.Warning,
			Title: "a firewall mark that nothing sets, or that nothing uses",
			Why: "A fwmark service takes packets by a number that a packet filter rule gave them. If the numbers differ, or the families do, the service never sees a packet, and the packets to the VIP go to the director's own ports. " +
				"Rules that somebody else made are not known here: if they set the mark, the warning can be ignored.",
			See: []string{"nft list ruleset | grep mark", "iptables -t mangle -S", "ipvsadm -Ln"},
			Fix: "Use one number in the mark block and in the service, best by reference: fwmark = mark.web.mark.",
		},
		{
			ID: "LVS017", Severity: topology.Warning,
			Title: "persistent clients stick to a drained real server",
			Why: "Weight 0 keeps new clients away. A client with a persistence template has a server already, and the kernel sends its new connections there whatever the weight is; each one starts the template's time anew. " +
				"A server that is drained, or that a checker has found dead and set to weight 0, keeps its known clients. With net.ipv4.vs.expire_quiescent_template = 1 a template of a server of weight 0 is dropped.",
			See: []string{"sysctl net.ipv4.vs.expire_quiescent_template", "ipvsadm -Lnc    # entries with port 0 are templates"},
			Fix: "Set net.ipv4.vs.expire_quiescent_template = 1 on the director.",
		},
		{
			ID: "LVS018", Severity: topology.Error,
			Title: "a fallback or quorum without a checker, two checkers for one table, or a fallback on lo without dr",
			Why: "The kernel does not know whether a real server is alive, so only a program that checks can put a fallback in the place of dead ones, or count a quorum. keepalived and ldirectord both take the kernel's one table for their own: " +
				"each adds its servers, sets its weights, and deletes what it made when it ends. A fallback on 127.0.0.1 is the director's own program; the kernel drops what NAT or a tunnel would send to a loopback address.",
			See: []string{"ipvsadm -Ln", "ps -e | grep -E 'keepalived|ldirectord'", "ss -ltn 'sport = :PORT'    # on the director: the fallback listens on the VIP's port, on every address"},
			Fix: "Add a health_check (with checker = \"keepalived\" or \"ldirectord\", one of them for all services of a host), or take fallback, quorum and quiescent out. Give a fallback on 127.0.0.1 forward = \"dr\".",
		},
		{
			ID: "LVS019", Severity: topology.Info,
			Title: "many real servers behind NAT",
			Why:   "With NAT both directions pass the director, and answers are mostly much larger than requests. With dr and tun only requests do. Beyond some 20 real servers the director's interfaces and CPU tend to be what limits the cluster.",
			See:   []string{"ipvsadm -Ln --rate", "sar -n DEV 1"},
			Fix:   "Nothing has to be done. If the director is busy, use dr on one network, tun across networks.",
		},
		{
			ID: "LVS020", Severity: topology.Error,
			Title: "an address that another host already holds, or a VIP that is a management address",
			Why: "Two hosts that hold one address on their interfaces both answer ARP for it, and everybody reaches the one whose answer came last. A VIP that is also the address of a host cannot move to another director, " +
				"and takes the ports of its services away from the host. (The VIP on lo, a dummy or a tunnel of real servers is no duplicate: there it answers nobody.)",
			See: []string{"arping -D -I DEVICE ADDRESS    # an answer is one too many", "ip neighbour show ADDRESS"},
			Fix: "Give the VIP an address that no host has. A VIP is on an interface of one director at a time, and on real servers on lo only.",
		},
		{
			ID: "LVS021", Severity: topology.Error,
			Title: "mixed address families outside TUN, or beside a sync daemon",
			Why: "Only a tunnel carries a packet of one family to a real server of the other; dr and nat have no way to write it. The protocol between sync daemons has one family for a connection, " +
				"so the kernel refuses a real server of the other family while a daemon runs, and the daemon while there is such a server.",
			See: []string{"ipvsadm -Ln", "ipvsadm -L --daemon"},
			Fix: "Give the real server an address of the VIP's family, or use tun for it and run no sync daemon on that director.",
		},
		{
			ID: "LVS022", Severity: topology.Warning,
			Title: "a change that may cut the SSH connection of the run itself",
			Why: "The plan changes the address, link, route or rule by which lvsform reaches the host. If the connection ends there, the host hears no confirmation and takes the change back by itself. " +
				"A default route that moves to another host of the topology is a note only: it matters if you reach the host by that route.",
			See: []string{"ip route get ADDRESS_OF_THIS_MACHINE    # on the host", "ss -tn sport = :22"},
			Fix: "Reach the host by another interface (ssh.address), or keep a console at hand.",
		},
		{
			ID: "LVS023", Severity: topology.Error,
			Title: "VRRP: what the protocol's version cannot say",
			Why: "Version 2 (RFC 3768) has one byte for the interval in seconds and eight for a password: keepalived rounds the one and cuts the other off, each host for itself. Version 3 (RFC 5798), the only one for IPv6, counts in hundredths of a second " +
				"and has no authentication at all: a password there is ignored, and protects nothing.",
			See: []string{"keepalived --config-test", "tcpdump -vni DEVICE ip proto 112    # vrrp version, intvl, auth"},
			Fix: "With version 2 write whole seconds and at most 8 characters. With version 3 take the authentication out; where strangers share the network, use unicast and a packet filter.",
		},
		{
			ID: "LVS024", Severity: topology.Warning,
			Title: "ldirectord: on and off are no checks",
			Why: "ldirectord's checktype `on` takes every real server for alive and asks none; `off` puts none into the table. Many configurations say `on` where a check was meant: the cluster works until a server dies, " +
				"and then sends its share of the clients to the dead one.",
			See: []string{"grep -n checktype /etc/ha.d/ldirectord.cf", "ipvsadm -Ln    # after a server was stopped: its weight stays"},
			Fix: "Use health_check \"tcp\" {} (checktype connect), or the check of the service's protocol, \"https\" say.",
		},
		{
			ID: "LVS025", Severity: topology.Warning,
			Title: "the host's firewall drops what the mode needs, or is switched off as a whole",
			Why: "IPVS sits behind the input chain: a packet to the VIP that is dropped there never reaches it. With nat the answers cross the forward chain. Real servers of a tunnel get IP protocol 4 or 41 (ipip), 47 (gre) or a UDP port (gue), " +
				"which port rules do not mention, and sync daemons talk UDP 8848. A chain is judged only where all is understood that could let the packet through: a rule with an interface, a source address or a set may.",
			See: []string{"nft list ruleset", "iptables -S; iptables -L -v -n    # which counter grows?"},
			Fix: "Open the port or protocol that the finding names. There is no need to switch off the firewall, or SELinux: a `service` that does so is a finding too.",
		},
		{
			ID: "LVS026", Severity: topology.Warning,
			Title: "DR or TUN: nothing on the real server listens on the VIP",
			Why: "The real server gets the packet with the VIP as its destination. A program that listens on the server's own address only does not get it, and the kernel answers with a reset: " +
				"the health check of the server's own address passes, and clients are refused.",
			See: []string{"ss -ltn 'sport = :PORT'    # 0.0.0.0, * or the VIP is right", "curl --interface lo http://VIP:PORT/    # on the real server"},
			Fix: "Let the program listen on every address, or on the VIP too.",
		},
		{
			ID: "LVS027", Severity: topology.Warning,
			Title: "NAT with clients on the real servers' own network",
			Why: "A real server reaches a client of its own network without its gateway, so its answer does not pass the director and keeps the real server's address; the client drops it. Clients of other networks are served, " +
				"so tests from a machine beside the servers fail where production works, or the other way round.",
			See: []string{"ip route get CLIENT    # on the real server: no `via`", "tcpdump -ni DEVICE host CLIENT    # on the client: answers from RIP instead of the VIP"},
			Fix: "Put the VIP on another network than the real servers, or use fullnat.",
		},
		{
			ID: "LVS028", Severity: topology.Warning,
			Title: "a director of a pair that is also a real server without backup_only, or schedules nothing with it",
			Why: "The master sends some requests to the backup as a real server. With dr and tun they arrive for the VIP, and the backup has a service for the VIP in its own table: it schedules them once more, to another server or back to the master, " +
				"and a packet may go to and fro until its TTL is used up. With net.ipv4.vs.backup_only = 1 a host schedules nothing while a backup sync daemon runs on it: where it runs always, beside that of the master, nothing at all.",
			See: []string{"sysctl net.ipv4.vs.backup_only", "ipvsadm -L --daemon    # backup sync daemon", "ipvsadm -Ln --stats    # on the backup: the service counts connections"},
			Fix: "Leave the work of the real servers to other hosts, and backup_only at 0 where both sync daemons run. Where a director has to be a real server, set net.ipv4.vs.backup_only = 1 on both, with a sync daemon whose role follows the VRRP state: while a host runs a backup daemon it then schedules nothing at all, master or not.",
		},
		{
			ID: "LVS029", Severity: topology.Warning,
			Title: "IPv6 forwarding takes the default route away",
			Why: "A Linux host that forwards IPv6 counts as a router and stops listening to router advertisements, unless accept_ra is 2. A default route that came from them ends some minutes after forwarding was switched on, " +
				"long after every test has passed.",
			See: []string{"ip -6 route show default    # proto ra, expires", "sysctl net.ipv6.conf.DEVICE.accept_ra"},
			Fix: "Set net.ipv6.conf.DEVICE.accept_ra = 2, or declare a static default route.",
		},
		{
			ID: "LVS030", Severity: topology.Warning,
			Title: "something else makes the same things at boot",
			Why: "What is applied is put back at boot by lvsform. Where ipvsadm's service, sysctl.conf or the network's own files make the same things with other values, the host goes through those values at every boot, " +
				"and comes back to them when the topology has gone. A VIP that the network tool gives a real server is there before arp_ignore is: for a moment the server answers for it.",
			See: []string{"systemctl is-enabled ipvsadm", "grep -r PARAMETER /etc/sysctl.conf /etc/sysctl.d", "grep -rs VIP /etc/network/interfaces* /etc/sysconfig/network*"},
			Fix: "Take the line out of the file that the finding names, or disable the service.",
		},
		{
			ID: "LVS031", Severity: topology.Warning,
			Title: "another program keeps IPVS services on the director",
			Why: "keepalived with virtual_server blocks, ldirectord and kube-proxy in IPVS mode write the same table of the kernel. Each believes that it alone does: kube-proxy deletes services that it does not know, " +
				"keepalived and ldirectord set weights of a service that both have back to their own, and delete it when they end.",
			See: []string{"ps -e | grep -E 'keepalived|ldirectord|kube-proxy'", "grep -rn virtual_server /etc/keepalived", "ipvsadm -Ln"},
			Fix: "Leave each virtual service to one of them: take it out of the other's configuration, or out of this one. For kube-proxy, exclude the VIPs (--ipvs-exclude-cidrs).",
		},
	}
}
