package keepalived

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

const header = `# lvsform writes this file: change the configuration and apply it, changes made here are lost.
`

// Render is the canonical text of the configuration: equal ones have equal
// texts, in whatever order their parts stand. What keepalived would take for
// something else, or correct by itself, is refused.
func (c Config) Render() (string, error) {
	c = c.canonical()
	w := &writer{}
	w.text.WriteString(header)
	w.global(c)
	w.unique(c)
	for _, g := range c.SyncGroups {
		w.blank()
		w.syncGroup(g, c.Instances)
	}
	for _, i := range c.Instances {
		w.blank()
		w.instance(i)
	}
	for _, s := range c.Services {
		w.blank()
		w.service(s)
	}
	return w.result()
}

// global writes global_defs. Programs that check are run, and no complaint comes
// from keepalived -t, where keepalived looks at who may change them.
func (w *writer) global(c Config) {
	scripts := slices.ContainsFunc(c.Services, func(s VirtualServer) bool {
		return slices.ContainsFunc(s.RealServers, func(r RealServer) bool { return r.Check.Type == MiscCheck })
	})
	if c.Global == (Global{}) && !scripts {
		return
	}
	w.object = "global_defs"
	w.blank()
	w.open("global_defs")
	if c.Global.RouterID != "" {
		w.phrase("router_id", c.Global.RouterID)
	}
	if scripts {
		w.line("enable_script_security")
	}
	w.close()
}

func (w *writer) blank() { w.text.WriteByte('\n') }

// unique refuses objects that keepalived would take for one.
func (w *writer) unique(c Config) {
	seen := map[string]bool{}
	once := func(object string) {
		w.object = object
		w.must(!seen[object], "name", "is there twice: keepalived takes the first alone")
		seen[object] = true
	}
	for _, g := range c.SyncGroups {
		once("vrrp_sync_group " + g.Name)
	}
	for _, i := range c.Instances {
		once("vrrp_instance " + i.Name)
	}
	for _, s := range c.Services {
		once("virtual_server " + s.ServiceID.String())
	}
}

// canonical has the order of Render, and no group of one, which keepalived takes
// for a mistake.
func (c Config) canonical() Config {
	c.SyncGroups, c.Instances = slices.Clone(c.SyncGroups), slices.Clone(c.Instances)
	c.SyncGroups = slices.DeleteFunc(c.SyncGroups, func(g SyncGroup) bool { return len(g.Instances) < 2 })
	c.Services = slices.Clone(c.Services)
	for i := range c.SyncGroups {
		g := &c.SyncGroups[i]
		g.Instances = sorted(g.Instances, strings.Compare)
	}
	for i := range c.Instances {
		in := &c.Instances[i]
		in.UnicastPeers = sorted(in.UnicastPeers, netip.Addr.Compare)
		in.TrackInterfaces = sorted(in.TrackInterfaces, strings.Compare)
		in.Addresses = sorted(in.Addresses, compareAddresses)
		in.Excluded = sorted(in.Excluded, compareAddresses)
	}
	for i := range c.Services {
		s := &c.Services[i]
		if s.Fallback != (Fallback{}) && s.Fallback.Port == 0 {
			s.Fallback.Port = s.Port
		}
		s.RealServers = sorted(s.RealServers, func(a, b RealServer) int {
			return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Port, b.Port))
		})
	}
	slices.SortStableFunc(c.SyncGroups, func(a, b SyncGroup) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(c.Instances, func(a, b Instance) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(c.Services, compareServices)
	return c
}

func sorted[T any](list []T, compare func(a, b T) int) []T {
	list = slices.Clone(list)
	slices.SortStableFunc(list, compare)
	return list
}

// compareAddresses puts link-local addresses first: RFC 5798 wants one of them
// at the head of an advertisement for IPv6.
func compareAddresses(a, b Address) int {
	local := func(a Address) int {
		if a.IP.Addr().Is6() && a.IP.Addr().IsLinkLocalUnicast() {
			return 0
		}
		return 1
	}
	return cmp.Or(local(a)-local(b), a.IP.Addr().Compare(b.IP.Addr()), a.IP.Bits()-b.IP.Bits(), strings.Compare(a.Device, b.Device))
}

func compareServices(a, b VirtualServer) int {
	return cmp.Or(cmp.Compare(a.FWMark, b.FWMark), strings.Compare(a.Family, b.Family), a.Address.Compare(b.Address),
		cmp.Compare(a.Port, b.Port), strings.Compare(a.Protocol, b.Protocol))
}

func (w *writer) syncGroup(g SyncGroup, instances []Instance) {
	w.object = "vrrp_sync_group " + g.Name
	w.open("vrrp_sync_group", w.name("name", g.Name))
	w.open("group")
	for _, name := range g.Instances {
		w.must(slices.ContainsFunc(instances, func(i Instance) bool { return i.Name == name }), "group",
			"names the vrrp_instance %q, which is not there", name)
		w.line(w.name("group", name))
	}
	w.close()
	w.close()
}

func (w *writer) instance(i Instance) {
	w.object = "vrrp_instance " + i.Name
	w.open("vrrp_instance", w.name("name", i.Name))
	if i.State != "" {
		w.must(i.State == "MASTER" || i.State == "BACKUP", "state", "is %q: it must be MASTER or BACKUP", i.State)
		w.word("state", i.State)
	}
	w.line("interface", w.device("interface", i.Interface))
	w.number("virtual_router_id", i.VirtualRouterID, 1, 255)
	w.number("priority", i.Priority, 1, 255)
	if i.Version != 0 {
		w.number("version", i.Version, 2, 3)
	}
	w.timing(i)
	w.authentication(i)
	w.unicast(i)
	if len(i.TrackInterfaces) > 0 {
		w.open("track_interface")
		for _, name := range i.TrackInterfaces {
			w.line(w.device("track_interface", name))
		}
		w.close()
	}
	w.must(len(i.Addresses) > 0, "virtual_ipaddress", "is empty: an instance needs an address")
	w.addresses("virtual_ipaddress", i.Addresses)
	w.addresses("virtual_ipaddress_excluded", i.Excluded)
	w.close()
}

// v3 tells whether the instance speaks version 3.
func (i Instance) v3() bool { return i.Version == 3 || i.Version == 0 && i.ipv6() }

// master tells whether the instance begins as master.
func (i Instance) master() bool { return i.State == "MASTER" || i.State == "" && i.Priority == 255 }

func (i Instance) ipv6() bool { return len(i.Addresses) > 0 && i.Addresses[0].IP.Addr().Is6() }

// timing writes the interval and what the host that was master may do.
func (w *writer) timing(i Instance) {
	if i.AdvertInterval != 0 && i.v3() {
		w.must(i.AdvertInterval%(10*time.Millisecond) == 0, "advert_int", "is %s: version 3 counts in hundredths of a second", i.AdvertInterval)
		w.seconds("advert_int", i.AdvertInterval, 10*time.Millisecond, 40950*time.Millisecond)
	} else if i.AdvertInterval != 0 {
		w.must(i.AdvertInterval%time.Second == 0, "advert_int", "is %s: version 2 counts in seconds, use version 3", i.AdvertInterval)
		w.seconds("advert_int", i.AdvertInterval, time.Second, 255*time.Second)
	}
	if i.NoPreempt {
		w.must(!i.master(), "nopreempt", "needs the state BACKUP at start")
		w.must(i.Priority != 255, "nopreempt", "cannot be with the priority 255")
		w.line("nopreempt")
	}
	if i.PreemptDelay != 0 {
		w.must(!i.master(), "preempt_delay", "needs the state BACKUP at start")
		w.must(!i.NoPreempt, "preempt_delay", "cannot be with nopreempt")
		w.seconds("preempt_delay", i.PreemptDelay, time.Microsecond, 1000*time.Second)
	}
}

func (w *writer) authentication(i Instance) {
	a := i.Authentication
	if a == (Authentication{}) {
		return
	}
	w.must(a.Type == "PASS" || a.Type == "AH", "auth_type", "is %q: it must be PASS or AH", a.Type)
	w.must(!i.v3(), "authentication", "is not part of version 3: take it out, or use version 2")
	w.must(a.Type != "AH" || !i.master() || i.Priority == 255, "auth_type", "AH needs the state BACKUP at start")
	w.must(a.Type != "AH" || !i.ipv6(), "auth_type", "AH is for IPv4")
	// The value is a secret: no message may hold it.
	w.must(len(a.Password) <= 8, "auth_pass", "has %d bytes: keepalived takes 8", len(a.Password))
	w.open("authentication")
	w.word("auth_type", a.Type)
	probe := &writer{}
	if probe.checked("auth_pass", a.Password); len(probe.errs) > 0 {
		w.refuse("auth_pass", "has a blank, or a character that means something else in keepalived's configuration "+
			"(# ! { } \" ' ` $ \\): use others")
	}
	w.line("auth_pass", a.Password)
	w.close()
}

func (w *writer) unicast(i Instance) {
	if i.UnicastSource.IsValid() {
		w.must(len(i.UnicastPeers) > 0, "unicast_src_ip", "needs a peer: name one")
		w.line("unicast_src_ip", w.address("unicast_src_ip", i.UnicastSource))
	}
	if len(i.UnicastPeers) == 0 {
		return
	}
	w.open("unicast_peer")
	for n, peer := range i.UnicastPeers {
		w.must(n == 0 || peer != i.UnicastPeers[n-1], "unicast_peer", "has %s twice", peer)
		w.must(peer.Is6() == i.ipv6(), "unicast_peer", "%s is not of the addresses' family", peer)
		w.line(w.address("unicast_peer", peer))
	}
	w.close()
}

func (w *writer) addresses(keyword string, as []Address) {
	if len(as) == 0 {
		return
	}
	w.open(keyword)
	for n, a := range as {
		w.must(a.IP.IsValid(), keyword, "has an address that is unset")
		if keyword == "virtual_ipaddress" {
			w.must(a.IP.Addr().Is6() == as[0].IP.Addr().Is6(), keyword, "has %s of another family: put it into virtual_ipaddress_excluded", a.IP)
		}
		w.must(n == 0 || a.IP.Addr() != as[n-1].IP.Addr() || a.Device != as[n-1].Device, keyword, "has %s twice", a.IP)
		w.must(a.IP.Addr().Zone() == "", keyword, "has %s with a zone: name the device", a.IP)
		words := []string{a.IP.String()}
		if a.Device != "" {
			words = append(words, "dev", w.device(keyword, a.Device))
		}
		if a.Scope != "" {
			w.must(slices.Contains(scopes(), a.Scope), keyword, "has the scope %q: it must be one of %s", a.Scope, strings.Join(scopes(), ", "))
			w.must(a.IP.Addr().Is4(), keyword, "has a scope for %s: that is for IPv4", a.IP)
			words = append(words, "scope", w.checked(keyword, a.Scope))
		}
		if a.Label != "" {
			w.must(a.IP.Addr().Is4(), keyword, "has a label for %s: that is for IPv4", a.IP)
			words = append(words, "label", w.device(keyword, a.Label))
		}
		w.line(words...)
	}
	w.close()
}

func scopes() []string { return []string{"global", "host", "link", "nowhere", "site"} }

// device is the name of an interface, or a label, which looks as one.
func (w *writer) device(attribute, name string) string {
	w.must(len(name) <= 15, attribute, "%q has more than 15 bytes", name)
	return w.name(attribute, name)
}

func (w *writer) address(attribute string, a netip.Addr) string {
	if !a.IsValid() {
		w.refuse(attribute, "is unset")
		return "unset"
	}
	w.must(a.Zone() == "", attribute, "%q has a zone, which lvsform does not write", a)
	w.must(!a.Is4In6(), attribute, "%q is an IPv4 address written as IPv6: write it as IPv4", a)
	return a.String()
}

// at is an address with the port that keepalived takes as a word of its own.
func (w *writer) at(attribute string, a netip.Addr, port uint16) []string {
	words := []string{w.address(attribute, a)}
	if port != 0 {
		words = append(words, strconv.Itoa(int(port)))
	}
	return words
}

func endpoint(a netip.Addr, port uint16) string {
	if port == 0 {
		return fmt.Sprint(a)
	}
	return netip.AddrPortFrom(a, port).String()
}
