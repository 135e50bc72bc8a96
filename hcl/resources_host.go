package hcl

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/lvsform/lvsform/topology"
	"github.com/zclconf/go-cty/cty"
)

const (
	// maxTimeout is what ip_vs_set_timeout (net/netfilter/ipvs/ip_vs_ctl.c)
	// takes with a clock of 1000 ticks a second.
	maxTimeout = math.MaxInt32 / 1000 * time.Second
	// The size of the connection table: IP_VS_TAB_BITS of the kernel.
	minTableBits, maxTableBits = 8, 27
	// maxSyncLength is a UDP datagram without its headers, as in ipvsadm(8).
	maxSyncLength = 65535 - 20 - 8
	// maxModuleName is MODULE_NAME_LEN of linux/moduleparam.h without the NUL.
	maxModuleName = 55
	// maxNames bounds the packages and the modules of one block.
	maxNames = 1024
)

func ipvsSchema() *schema {
	return &schema{
		attrs: map[string]attribute{
			"connection_table_bits": allow(cty.Number),
			"modules":               allow(cty.List(cty.String)),
			"exclusive":             allow(cty.Bool),
		},
		blocks: map[string]nested{
			"timeouts": {schema: &schema{attrs: map[string]attribute{
				"tcp":     allow(cty.DynamicPseudoType),
				"tcp_fin": allow(cty.DynamicPseudoType),
				"udp":     allow(cty.DynamicPseudoType),
			}}},
			"sync": {labels: []string{"role"}, many: true, schema: &schema{attrs: map[string]attribute{
				"interface":  need(cty.String),
				"id":         allow(cty.Number),
				"group":      allow(cty.String),
				"port":       allow(cty.Number),
				"ttl":        allow(cty.Number),
				"max_length": allow(cty.Number),
			}}},
		},
	}
}

func packageSchema() *schema {
	return &schema{attrs: map[string]attribute{"names": need(cty.List(cty.String))}}
}

func unitSchema() *schema {
	return &schema{attrs: map[string]attribute{
		"name":    need(cty.String),
		"running": allow(cty.Bool),
		"enabled": allow(cty.Bool),
	}}
}

func (o *object) ipvs(defaults map[string]cty.Value) *topology.IPVS {
	i := &topology.IPVS{Exclusive: o.isTrue("exclusive", false)}
	bits, _ := o.whole("connection_table_bits", minTableBits, maxTableBits)
	i.ConnectionTableBits = int(bits)
	for _, name := range o.names("modules", badModule) {
		// The kernel takes one for the other and shows underscores.
		i.Modules = append(i.Modules, strings.ReplaceAll(name, "-", "_"))
	}
	slices.Sort(i.Modules)
	i.Modules = slices.Compact(i.Modules)
	if b := o.block("timeouts"); b != nil {
		i.Timeouts = b.timeouts()
	}
	for _, b := range o.blocks["sync"] {
		i.Sync = append(i.Sync, b.sync())
	}
	slices.SortFunc(i.Sync, func(a, b topology.Sync) int { return cmpString(a.Role, b.Role) })
	defaults["exclusive"] = cty.BoolVal(i.Exclusive)
	return i
}

func (o *object) timeouts() *topology.Timeouts {
	t := &topology.Timeouts{}
	t.TCP, _ = o.duration("tcp", time.Second, maxTimeout)
	t.TCPFin, _ = o.duration("tcp_fin", time.Second, maxTimeout)
	t.UDP, _ = o.duration("udp", time.Second, maxTimeout)
	if *t == (topology.Timeouts{}) && o.clean() {
		o.l.r.error(o.header, "Empty timeouts", "Give at least one of tcp, tcp_fin and udp, or take the block out.")
		o.bad["tcp"] = true
	}
	return t
}

func (o *object) sync() topology.Sync {
	s := topology.Sync{Role: o.label, Interface: o.device("interface"), Group: o.address("group")}
	if roles := []string{"master", "backup"}; !slices.Contains(roles, s.Role) {
		o.l.r.error(o.header, "Invalid role", "sync is \"master\" or \"backup\", not %q.%s", clip(s.Role), didYouMean(s.Role, roles))
		o.bad["role"] = true
	}
	if s.Group.IsValid() && !s.Group.IsMulticast() {
		o.fail("group", "Invalid group", "%s is no multicast address. The kernel's own choice is 224.0.0.81.", s.Group)
	}
	id, _ := o.whole("id", 0, 255)
	port, _ := o.whole("port", 1, math.MaxUint16)
	ttl, _ := o.whole("ttl", 1, 255)
	length, _ := o.whole("max_length", 1, maxSyncLength)
	s.ID, s.Port, s.TTL, s.MaxLength = int(id), uint16(port), int(ttl), int(length)
	return s
}

// fou reads where a link's packets are unwrapped.
func (o *object) fou() *topology.FOU {
	port, ok := o.whole("port", 1, math.MaxUint16)
	f := &topology.FOU{Port: uint16(port), Protocol: o.choice("protocol", "gue", "ipip", "ipv6", "gre")}
	if f.Protocol == "" && !o.has("protocol") {
		f.Protocol = "gue"
		o.vals["protocol"] = cty.StringVal(f.Protocol)
	}
	if !ok {
		return nil
	}
	return f
}

func (o *object) packages() *topology.Package {
	p := &topology.Package{Names: o.names("names", badPackage)}
	slices.Sort(p.Names)
	p.Names = slices.Compact(p.Names)
	if len(p.Names) == 0 && !o.bad["names"] {
		o.fail("names", "Empty names", "Name at least one package: [\"ipvsadm\"].")
	}
	return p
}

func (o *object) unit() *topology.Service {
	s := &topology.Service{Name: o.text("name"), Running: o.boolean("running"), Enabled: o.boolean("enabled")}
	if o.has("name") && !o.bad["name"] {
		if why := badUnit(s.Name); why != "" {
			o.fail("name", "Invalid service name", "%q cannot name a service: %s.", clip(s.Name), why)
		}
	}
	if s.Running == nil && s.Enabled == nil && o.clean() {
		o.l.r.error(o.header, "Service without a state", "Say what is wanted: running, enabled (started at boot), or both.")
		o.bad["running"] = true
	}
	return s
}

// names returns a list of texts, each of which bad has nothing against.
func (o *object) names(name string, bad func(string) string) []string {
	v, ok := o.vals[name]
	if !ok {
		return nil
	}
	if v.LengthInt() > maxNames {
		o.fail(name, "Invalid "+name, "%s holds at most %d names.", name, maxNames)
		return nil
	}
	var out []string
	for _, e := range v.AsValueSlice() {
		if e.IsNull() {
			o.fail(name, "Invalid "+name, "A name is null. Leave it out.")
			return nil
		}
		if why := bad(e.AsString()); why != "" {
			o.fail(name, "Invalid "+name, "%q cannot be used: %s.", clip(e.AsString()), why)
			return nil
		}
		out = append(out, e.AsString())
	}
	return out
}

// badName says what is wrong with a name that reaches programs on hosts as an
// argument; others are the signs that it may hold beside letters and digits.
func badName(s, others string, longest int) string {
	switch {
	case s == "":
		return "it is empty"
	case len(s) > longest:
		return fmt.Sprintf("it has %d characters, and may have %d", len(s), longest)
	case !alphanumeric(rune(s[0])):
		return "it begins with neither a letter nor a digit"
	}
	for _, c := range s {
		if !alphanumeric(c) && !strings.ContainsRune(others, c) {
			return fmt.Sprintf("it holds %q; letters, digits and %s are allowed", c, strings.Join(strings.Split(others, ""), " "))
		}
	}
	return ""
}

func alphanumeric(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func badModule(s string) string { return badName(s, "_-", maxModuleName) }

func badPackage(s string) string {
	if why := badName(s, "+._-", 128); why != "" {
		return why
	}
	if strings.HasSuffix(s, "-") {
		return "apt(8) would remove it: it ends with a minus"
	}
	return ""
}

func badUnit(s string) string {
	if plain, ok := strings.CutSuffix(s, ".service"); ok {
		return fmt.Sprintf("write it without the suffix, %q", clip(plain))
	}
	for _, kind := range []string{"socket", "target", "timer", "path", "mount", "automount", "swap", "device", "slice", "scope"} {
		if strings.HasSuffix(s, "."+kind) {
			return "it is a " + kind + " of systemd, not a service"
		}
	}
	if strings.HasSuffix(s, "@") {
		return "it is a template: name an instance of it"
	}
	return badName(s, "@:._-", 255)
}
