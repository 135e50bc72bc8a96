package hcl

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/lvsform/lvsform/topology"
	"github.com/zclconf/go-cty/cty"
)

const (
	defaultAdvert = time.Second
	// maxAdvert2 and maxAdvert3 are what the advertisements of RFC 3768 and RFC 5798
	// can say: eight bits of seconds, twelve of hundredths.
	maxAdvert2 = 255 * time.Second
	maxAdvert3 = 4095 * centisecond
	// centisecond is the resolution of RFC 5798.
	centisecond = 10 * time.Millisecond
	// maxPreemptDelay is keepalived's.
	maxPreemptDelay = 1000 * time.Second
	// maxVRRPText is how long a name or a password may be.
	maxVRRPText = 64
	// maxAdvertised is the count of addresses that an advertisement has room for.
	maxAdvertised = 255
)

func vrrpSchema() *schema {
	return &schema{
		attrs: map[string]attribute{
			"interface":         need(cty.String),
			"router_id":         allow(cty.String),
			"virtual_router_id": need(cty.Number),
			"priority":          need(cty.Number),
			"state":             allow(cty.String),
			"advert_interval":   allow(cty.DynamicPseudoType),
			"preempt":           allow(cty.Bool),
			"preempt_delay":     allow(cty.DynamicPseudoType),
			"version":           allow(cty.Number),
			"track_interfaces":  allow(cty.List(cty.String)),
			"sync_group":        allow(cty.String),
		},
		blocks: map[string]nested{
			"authentication": {schema: &schema{attrs: map[string]attribute{
				"type":     allow(cty.String),
				"password": {ty: cty.String, required: true, secret: true},
			}}},
			"unicast": {schema: &schema{attrs: map[string]attribute{
				"source": allow(cty.String),
				"peers":  need(cty.DynamicPseudoType),
			}}},
			"virtual_address": {labels: []string{"name"}, many: true, schema: &schema{attrs: map[string]attribute{
				"ip":       need(cty.String),
				"device":   allow(cty.String),
				"label":    allow(cty.String),
				"excluded": allow(cty.Bool),
			}}},
		},
	}
}

func (o *object) vrrpInstance(defaults map[string]cty.Value) *topology.VRRPInstance {
	v := &topology.VRRPInstance{Interface: o.device("interface"), RouterID: o.vrrpName("router_id"), SyncGroup: o.vrrpName("sync_group"),
		State: o.choice("state", "MASTER", "BACKUP"), Preempt: o.boolean("preempt"), AdvertInterval: defaultAdvert}
	o.plain("interface", "", nil)
	id, _ := o.whole("virtual_router_id", 1, 255)
	priority, _ := o.whole("priority", 1, 255)
	v.VirtualRouterID, v.Priority = int(id), int(priority)
	v.PreemptDelay, _ = o.durationIn("preempt_delay", 0, maxPreemptDelay, time.Millisecond)
	v.TrackInterfaces = o.names("track_interfaces", func(s string) string { return cmp.Or(badDevice(s), badText(s, maxDeviceName)) })
	slices.Sort(v.TrackInterfaces)
	v.TrackInterfaces = slices.Compact(v.TrackInterfaces)
	o.virtualAddresses(v)
	o.vrrpVersion(v)
	if d, ok := o.durationIn("advert_interval", centisecond, maxAdvert2, centisecond); ok {
		v.AdvertInterval = d
	}
	if v.Version == 3 && v.AdvertInterval > maxAdvert3 {
		o.fail("advert_interval", "Invalid advert_interval", "The advertisements of VRRP version 3 say at most %s.", maxAdvert3)
	}
	if b := o.block("authentication"); b != nil {
		v.Authentication = b.authentication()
	}
	if b := o.block("unicast"); b != nil {
		v.Unicast = b.unicastPeers(v.Family())
	}
	o.preemption(v)
	defaults["advert_interval"] = cty.StringVal(v.AdvertInterval.String())
	defaults["preempt"] = cty.BoolVal(v.Preempts())
	defaults["version"] = cty.NumberIntVal(int64(v.Version))
	defaults["state"] = cty.StringVal("BACKUP")
	return v
}

// vrrpName reads a name that stands as one word in keepalived's file.
func (o *object) vrrpName(name string) string {
	if !o.has(name) || o.bad[name] {
		return ""
	}
	s := o.text(name)
	if why := badName(s, "._-:", maxVRRPText); why != "" {
		o.fail(name, "Invalid "+name, "%q cannot be used: %s.", clip(s), why)
		return ""
	}
	return s
}

// preemption holds what keepalived asks of an instance that does not take over,
// or not at once: that it does not begin as master.
func (o *object) preemption(v *topology.VRRPInstance) {
	if v.State != "MASTER" {
		return
	}
	wrong := ""
	switch {
	case !v.Preempts():
		wrong = "preempt"
	case v.PreemptDelay > 0:
		wrong = "preempt_delay"
	default:
		return
	}
	o.fail(wrong, wrong+" with state MASTER", "What begins as MASTER takes over at once, and keepalived ignores %s. Set state = \"BACKUP\" on all hosts of the group: the one of the highest priority becomes master where there is none.", wrong)
}

// vrrpVersion is 2 for IPv4 and 3 for IPv6, where there is nothing else.
func (o *object) vrrpVersion(v *topology.VRRPInstance) {
	family := v.Family()
	v.Version = 2
	if family == "ipv6" {
		v.Version = 3
	}
	n, ok := o.whole("version", 2, 3)
	switch {
	case !ok:
	case n == 2 && family == "ipv6":
		o.fail("version", "VRRP version 2 with IPv6", "Only version 3 carries IPv6 addresses. Take version out, or set it to 3.")
	default:
		v.Version = int(n)
	}
}

func (o *object) authentication() *topology.VRRPAuthentication {
	a := &topology.VRRPAuthentication{Type: o.choice("type", "PASS", "AH"), Password: o.text("password")}
	if a.Type == "" && !o.has("type") {
		a.Type = "PASS"
		o.vals["type"] = cty.StringVal(a.Type)
	}
	if o.has("password") && !o.bad["password"] {
		// What is wrong with it is not said closer: that would show a part of it.
		if badText(a.Password, maxVRRPText) != "" || strings.Contains(a.Password, " ") {
			o.fail("password", "Invalid password", "The password cannot be used: it has from 1 to %d characters, all of them printable ASCII, without spaces, quotes, backslashes, and # ! { } $.", maxVRRPText)
		}
	}
	return a
}

func (o *object) unicastPeers(family string) *topology.VRRPUnicast {
	u := &topology.VRRPUnicast{Source: o.unicast("source"), Peers: o.servers("peers")}
	if len(u.Peers) == 0 && o.has("peers") && !o.bad["peers"] {
		o.fail("peers", "Empty peers", "Name the other hosts of the group: [host.dir2]. Without the block unicast they are reached by multicast.")
	}
	if family == "" {
		return u
	}
	four := family == "ipv4"
	if u.Source.IsValid() && u.Source.Is4() != four {
		o.fail("source", "Wrong address family", "The instance is %s and the source %s is not.", familyName(four), u.Source)
	}
	for _, p := range u.Peers {
		switch {
		case p.Is4() != four:
			o.fail("peers", "Wrong address family", "The instance is %s and the peer %s is not.", familyName(four), p)
			return u
		case p == u.Source:
			o.fail("peers", "Peer of itself", "%s is the instance's own source. Name the other hosts of the group only.", p)
			return u
		}
	}
	return u
}

func (o *object) virtualAddresses(v *topology.VRRPInstance) {
	blocks := slices.Clone(o.blocks["virtual_address"])
	if len(blocks) == 0 {
		o.l.r.error(o.header, "Instance without an address", "Say what floats: virtual_address \"vip\" { ip = \"192.0.2.10/32\" }.")
		o.bad["virtual_address"] = true
		return
	}
	slices.SortFunc(blocks, func(a, b *object) int { return cmpString(a.label, b.label) })
	first := map[netip.Addr]*object{}
	for _, b := range blocks {
		a := b.virtualAddress(v.Interface)
		if old := first[a.IP.Addr()]; old != nil && a.IP.IsValid() {
			b.fail("ip", "Address twice", "virtual_address %q has %s too. Take one of the two out.", clip(old.label), a.IP.Addr())
		}
		first[a.IP.Addr()] = b
		v.VirtualAddresses = append(v.VirtualAddresses, a)
	}
	o.oneFamily(v, blocks)
}

func (o *object) virtualAddress(device string) topology.VirtualAddress {
	a := topology.VirtualAddress{Name: o.label, IP: o.prefix("ip"), Device: o.device("device"), Label: o.text("label"),
		Excluded: o.boolean("excluded"), Range: toRange(o.header)}
	o.plain("device", "", nil)
	if a.Name == "" || len(a.Name) > 255 || strings.ContainsFunc(a.Name, misleads) {
		o.l.r.error(o.header, "Invalid name", "The name of a virtual address has from 1 to 255 characters and no control characters, unlike %q.", clip(a.Name))
		o.bad["name"] = true
	}
	if !a.IP.IsValid() {
		return a
	}
	if ip := a.IP.Addr(); ip.IsUnspecified() || ip.IsMulticast() || ip.IsLoopback() {
		o.fail("ip", "Invalid ip", "%s cannot be a virtual IP address.", ip)
	}
	if a.Device != "" {
		device = a.Device
	}
	switch {
	case !o.has("label") || o.bad["label"]:
	case !a.IP.Addr().Is4():
		o.refuse("label", "an IPv4 address")
	default:
		o.checkLabel(&topology.Address{Device: device, Label: a.Label})
		if why := badText(a.Label, maxDeviceName); why != "" && !o.bad["label"] {
			o.fail("label", "Invalid label", "%q cannot be used: %s.", clip(a.Label), why)
		}
	}
	return a
}

// oneFamily looks at what the advertisements hold: at least one address, and all
// of one family.
func (o *object) oneFamily(v *topology.VRRPInstance, blocks []*object) {
	told := v.Advertised()
	switch {
	case len(told) == 0:
		blocks[0].fail("excluded", "Nothing to advertise", "The advertisements hold at least one address, by which the peers know each other: the first by name where no other says excluded = false. Take excluded out here, or set excluded = false in another one.")
		return
	case len(told) > maxAdvertised:
		o.l.r.error(o.header, "Too many advertised addresses", "An advertisement holds at most %d addresses. Take excluded = false out of the others.", maxAdvertised)
		o.bad["virtual_address"] = true
		return
	}
	for _, a := range told[1:] {
		if !a.IP.IsValid() || !told[0].IP.IsValid() || a.IP.Addr().Is4() == told[0].IP.Addr().Is4() {
			continue
		}
		for _, b := range blocks {
			if b.label == a.Name && !b.bad["ip"] {
				b.fail("ip", "Mixed address families", "The instance advertises %s, which is %s, and advertisements hold one family. Take excluded = false out here, or make an instance of its own for %s.",
					told[0].IP.Addr(), familyName(told[0].IP.Addr().Is4()), familyName(a.IP.Addr().Is4()))
			}
		}
	}
}
