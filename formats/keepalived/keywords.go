package keepalived

// Keyword is a keyword of keepalived 2.2 and what lvsform does with it.
type Keyword struct {
	Section string // the block it stands in; "checker" is in every checker
	Name    string
	As      string // what it is in lvsform's language; "": lvsform does not write it
	Why     string // that is so
}

// reason is why lvsform does not carry a keyword; "" is for one that it does, or
// that is none.
func reason(section, name string) string {
	checker := false
	switch section {
	case TCPCheck, HTTPGet, SSLGet, DNSCheck, SMTPCheck, UDPCheck, PingCheck, MiscCheck:
		checker = true
	case "global_defs":
		return "is not carried over: of global_defs lvsform writes router_id alone"
	case "top":
		return topReason(name)
	}
	for _, k := range Keywords() {
		if k.Name == name && (k.Section == section || checker && k.Section == "checker") {
			return k.Why
		}
	}
	return ""
}

func topReason(name string) string {
	switch name {
	case "include", "includea", "includeb", "includem", "includer", "includew":
		return "is another file, which is not read: import it too"
	case "vrrp_script", "vrrp_track_process", "vrrp_track_file", "track_file":
		return whyTrack
	case "static_ipaddress", "static_routes", "static_rules", "track_group":
		return "write address, route and rule blocks instead: lvsform keeps them itself"
	case "SSL":
		return "lvsform's checks take any certificate, and show none"
	case "bfd_instance":
		return whyBFD
	case "garp_group", "linkbeat_interfaces", "interface_up_down_delays":
		return whyDefaults
	case "net_namespace", "net_namespace_ipvs", "namespace_with_ipsets", "instance", "use_pid_dir", "global_tracking":
		return "says how keepalived runs, which is not a topology's"
	}
	return ""
}

const (
	whyScript   = "lvsform has no scripts of its own on hosts that are told of changes"
	whyMail     = "lvsform sends no mail"
	whyTrack    = "of what is tracked, lvsform writes interfaces alone"
	whyBFD      = "lvsform has no BFD"
	whyDefaults = "keepalived's own value is kept"
	whyVMAC     = "a VIP keeps the interface's own MAC address"
	whySource   = "a check leaves from the address that the host's routes choose"
	whyAlive    = "a new server is in the pool until its first check fails, as keepalived does by itself"
	whySNMP     = "lvsform has no SNMP"
	whyRoutes   = "write route and rule blocks instead: they do not move with the VIP"
	whyRegex    = "the expression itself can say that"
)

// Keywords are all keywords that keepalived 2.2.7 knows in its sections for
// virtual servers and VRRP, in the order in which documentation shows them.
func Keywords() []Keyword {
	var out []Keyword
	add := func(section string, rows ...[3]string) {
		for _, r := range rows {
			out = append(out, Keyword{section, r[0], r[1], r[2]})
		}
	}
	addVRRP(add)
	addServers(add)
	addCheckers(add)
	return out
}

func yes(name, as string) [3]string { return [3]string{name, as, ""} }
func no(name, why string) [3]string { return [3]string{name, "", why} }

func addVRRP(add func(string, ...[3]string)) {
	add("vrrp_sync_group",
		yes("group", "`sync_group` of each `vrrp_instance`"),
		no("track_interface", "write `track_interfaces` of each instance"),
		no("track_script", whyTrack), no("track_file", whyTrack), no("track_process", whyTrack), no("track_bfd", whyBFD),
		no("notify_master", whyScript), no("notify_backup", whyScript), no("notify_fault", whyScript), no("notify_stop", whyScript),
		no("notify", whyScript), no("notify_priority_changes", whyScript), no("smtp_alert", whyMail),
		no("global_tracking", "keepalived has given it up"),
		no("sync_group_tracking_weight", "lvsform tracks without weights"))
	add("vrrp_instance",
		yes("state", "`state`"), yes("interface", "`interface`"), yes("virtual_router_id", "`virtual_router_id`"),
		yes("priority", "`priority`"), yes("advert_int", "`advert_interval`"), yes("version", "`version`"),
		yes("nopreempt", "`preempt = false`"), yes("preempt", "`preempt = true`; read, not written: it is keepalived's own way"),
		yes("preempt_delay", "`preempt_delay`"), yes("authentication", "`authentication`"),
		yes("unicast_src_ip", "`unicast.source`"), yes("unicast_peer", "`unicast.peers`, without limits of the hop count"),
		yes("track_interface", "`track_interfaces`, without weights"),
		yes("virtual_ipaddress", "the first `virtual_address`, and those with `excluded = false`"),
		yes("virtual_ipaddress_excluded", "the other `virtual_address` blocks"),
		yes("accept", "read, not written: it is keepalived's own way"),
		yes("native_ipv6", "read, not written: the addresses tell the family"),
		yes("strict_mode", "read where it is off, not written: on, it forbids much of what operators need"),
		yes("smtp_alert", "read where it is off, not written: lvsform sends no mail"),
		no("no_accept", "a director must take packets for its VIP"), no("dont_track_primary", "an interface that is down is a fault"),
		no("vrf", "lvsform has no VRFs"), no("use_vmac", whyVMAC), no("use_vmac_addr", whyVMAC), no("vmac_xmit_base", whyVMAC),
		no("use_ipvlan", whyVMAC), no("track_script", whyTrack), no("track_file", whyTrack), no("track_process", whyTrack),
		no("track_bfd", whyBFD), no("mcast_src_ip", "write `unicast`, or leave the choice to keepalived"),
		no("mcast_dst_ip", "keepalived's own group is used"), no("track_src_ip", whyDefaults), no("check_unicast_src", whyDefaults),
		no("unicast_fault_no_peer", "lvsform writes no unicast without a peer"), no("unicast_ttl", whyDefaults),
		no("old_unicast_checksum", "that is for keepalived before 1.3.7"), no("promote_secondaries", "write a `sysctl` block"),
		no("linkbeat_use_polling", "keepalived has given it up"), no("virtual_routes", whyRoutes), no("virtual_rules", whyRoutes),
		no("skip_check_adv_addr", whyDefaults), no("debug", "keepalived does nothing with it"),
		no("lvs_sync_daemon_interface", "write `sync` in an `ipvs` block"),
		no("notify_master", whyScript), no("notify_backup", whyScript), no("notify_fault", whyScript), no("notify_stop", whyScript),
		no("notify_deleted", whyScript), no("notify", whyScript), no("notify_master_rx_lower_pri", whyScript),
		no("notify_priority_changes", whyScript), no("kernel_rx_buf_size", whyDefaults),
		no("garp_master_delay", whyDefaults), no("garp_master_refresh", whyDefaults), no("garp_master_repeat", whyDefaults),
		no("garp_master_refresh_repeat", whyDefaults), no("garp_lower_prio_delay", whyDefaults), no("garp_lower_prio_repeat", whyDefaults),
		no("garp_extra_if", whyDefaults), no("vmac_garp_intvl", "keepalived has given it up"), no("down_timer_adverts", whyDefaults),
		no("lower_prio_no_advert", whyDefaults), no("higher_prio_send_advert", whyDefaults))
	add("authentication",
		yes("auth_type", "`type`"), yes("auth_pass", "`password`, at most 8 bytes; never shown"))
}

func addServers(add func(string, ...[3]string)) {
	add("virtual_server",
		yes("protocol", "`protocol`"), yes("ip_family", "`family` of a service of a mark"),
		yes("lvs_sched", "`scheduler`"), yes("lb_algo", "the old name of `lvs_sched`; read, not written"),
		yes("flag-1", "`scheduler_flags`"), yes("flag-2", "`scheduler_flags`"), yes("flag-3", "`scheduler_flags`"),
		yes("sh-port", "`scheduler_flags`"), yes("sh-fallback", "`scheduler_flags`"),
		yes("mh-port", "`scheduler_flags`"), yes("mh-fallback", "`scheduler_flags`"), yes("ops", "`one_packet`"),
		no("hashed", "keepalived does nothing with it"),
		yes("lvs_method", "`forward`; read, written for each real server"), yes("lb_kind", "the old name of `lvs_method`; read, not written"),
		yes("persistence_timeout", "`persistence.timeout`"), yes("persistence_granularity", "`persistence.netmask`"),
		yes("persistence_engine", "`persistence.engine`"), yes("delay_loop", "`health_check.interval`"),
		yes("quorum", "`quorum`"), yes("hysteresis", "read where it is 0, not written: a quorum counts both ways"),
		yes("sorry_server", "`fallback`"), yes("sorry_server_lvs_method", "`fallback.forward`"),
		no("sorry_server_inhibit", "the fallback is added and taken out"),
		yes("inhibit_on_failure", "`quiescent`; read, written for each real server"),
		yes("connect_timeout", "`health_check.timeout`; read, written for each check"),
		yes("retry", "`health_check.retries`; read, written for each check"),
		yes("delay_before_retry", "`health_check.retry_delay`; read, written for each check"),
		yes("virtualhost", "`health_check.host_header`; read, written for each check"),
		yes("weight", "the `weight` of each `real_server`; read, written for each"),
		yes("alpha", "read where it is off in a real server, not written: "+whyAlive),
		yes("smtp_alert", "read where it is off, not written: lvsform sends no mail"),
		yes("real_server", "`real_server`"),
		no("warmup", whyDefaults), no("omega", "lvsform runs no scripts at the end"), no("ha_suspend", "checks go on where the VIP is not"),
		no("quorum_up", whyScript), no("quorum_down", whyScript), no("snmp_name", whySNMP))
	add("real_server",
		yes("weight", "`weight`"), yes("lvs_method", "`forward` and `tunnel`"),
		yes("uthreshold", "`upper_threshold`"), yes("lthreshold", "`lower_threshold`"), yes("inhibit_on_failure", "`quiescent`"),
		yes("connect_timeout", "`health_check.timeout`; read, written for each check"),
		yes("retry", "`health_check.retries`; read, written for each check"),
		yes("delay_before_retry", "`health_check.retry_delay`; read, written for each check"),
		yes("delay_loop", "`health_check.interval`; read where all servers have the same, written for the virtual server"),
		yes("virtualhost", "`health_check.host_header`; read, written for each check"),
		yes("alpha", "read where it is off, not written: "+whyAlive),
		yes("smtp_alert", "read where it is off, not written: lvsform sends no mail"),
		no("warmup", whyDefaults), no("notify_up", whyScript), no("notify_down", whyScript), no("snmp_name", whySNMP),
		yes(TCPCheck, "`health_check \"tcp\"`"), yes(HTTPGet, "`health_check \"http\"`"), yes(SSLGet, "`health_check \"https\"`"),
		yes(DNSCheck, "`health_check \"dns\"`"), yes(SMTPCheck, "`health_check \"smtp\"`"), yes(UDPCheck, "`health_check \"udp\"`"),
		yes(PingCheck, "`health_check \"ping\"`"), yes(MiscCheck, "`health_check \"script\"`"),
		no("BFD_CHECK", whyBFD), no("FILE_CHECK", "a file is not a server's health: write a `health_check \"script\"`"))
}

func addCheckers(add func(string, ...[3]string)) {
	add("checker",
		yes("connect_port", "`port`; not for PING_CHECK and MISC_CHECK"),
		yes("connect_ip", "read where it is the real server's address, not written: that is checked"),
		yes("connect_timeout", "`timeout`; not for MISC_CHECK"), yes("retry", "`retries`"), yes("delay_before_retry", "`retry_delay`"),
		yes("delay_loop", "`interval`; read where all servers have the same, written for the virtual server"),
		yes("alpha", "read where it is off, not written: "+whyAlive),
		yes("log_all_failures", "read where it is off, not written: "+whyDefaults),
		no("bindto", whySource), no("bind_port", whySource), no("bind_if", whySource), no("fwmark", whySource), no("warmup", whyDefaults))
	add(HTTPGet, append(httpKeywords(), no("enable_sni", "without TLS it does nothing"))...)
	add(SSLGet, append(httpKeywords(), yes("enable_sni", "set where `host_header` is"))...)
	add("url",
		yes("path", "`path`"), yes("status_code", "`status`"), yes("virtualhost", "`host_header`"),
		yes("digest", "read and written, no attribute of the language: `contains` does not depend on every byte"),
		yes("regex", "`contains`, quoted so that it is found as it stands"),
		no("regex_no_match", "a check says what is good"), no("regex_options", whyRegex), no("regex_stack", whyDefaults),
		no("regex_min_offset", whyRegex), no("regex_max_offset", whyRegex))
	add(DNSCheck, yes("type", "`record`"), yes("name", "`name`"))
	add(SMTPCheck, yes("helo_name", "`helo`"),
		yes("host", "the first is read as the check's own values, none is written: a server is checked at its address"))
	add(UDPCheck,
		yes("payload", "`send`"), yes("require_reply", "`receive`, without X for digits that do not count"),
		yes("min_reply_length", "the length of `receive`"), yes("max_reply_length", "read and written, no attribute of the language"))
	add(MiscCheck,
		yes("misc_path", "`command`"), yes("misc_timeout", "`timeout`"), yes("user", "`user`"),
		no("misc_dynamic", "weights are declared, no program sets them"))
	add("BFD_CHECK", no("name", whyBFD), no("alpha", whyBFD))
	add("FILE_CHECK", no("track_file", whyTrack), no("weight", whyTrack))
}

func httpKeywords() [][3]string {
	return [][3]string{
		yes("url", "one for each check"), yes("virtualhost", "`host_header`; read, written in `url`"),
		yes("nb_get_retry", "the old name of `retry`; read, not written"),
		no("http_protocol", whyDefaults), no("fast_recovery", "one `url` needs no haste between many"),
	}
}
