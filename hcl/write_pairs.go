package hcl

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lvsform/lvsform/topology"
)

// span is a time as HCL reads it back; the language counts in milliseconds.
func span(d time.Duration) string {
	if d%time.Second == 0 {
		return duration(d)
	}
	return quoted(strconv.FormatInt(d.Milliseconds(), 10) + "ms")
}

// argument is an attribute to be written; an empty value is left out.
type argument struct{ name, value string }

func text(name, value string) argument {
	if value == "" {
		return argument{}
	}
	return argument{name, quoted(value)}
}

func number(name string, value int) argument {
	if value == 0 {
		return argument{}
	}
	return argument{name, strconv.Itoa(value)}
}

func period(name string, value time.Duration) argument {
	if value == 0 {
		return argument{}
	}
	return argument{name, span(value)}
}

func truth(name string, value *bool) argument {
	if value == nil {
		return argument{}
	}
	return argument{name, strconv.FormatBool(*value)}
}

func address(name string, value netip.Addr) argument {
	if !value.IsValid() {
		return argument{}
	}
	return text(name, value.String())
}

func texts[T any](name string, values []T, show func(T) string) argument {
	if len(values) == 0 {
		return argument{}
	}
	return argument{name, "[" + joined(values, show) + "]"}
}

// arguments writes those that have a value, one a line.
func (w *writer) arguments(args ...argument) {
	for _, a := range args {
		if a.value != "" {
			w.line("%s = %s", a.name, a.value)
		}
	}
}

// block writes a nested block, with a single argument on one line.
func (w *writer) block(header string, args ...argument) {
	args = slices.DeleteFunc(args, func(a argument) bool { return a.value == "" })
	switch len(args) {
	case 0:
		w.line("%s {}", header)
	case 1:
		w.line("%s { %s = %s }", header, args[0].name, args[0].value)
	default:
		w.line("%s {", header)
		w.arguments(args...)
		w.line("}")
	}
}

// checking writes who keeps a service's table, and how.
func (w *writer) checking(s *topology.VirtualService) {
	checker := s.Checker
	if checker == keepalived && s.HealthCheck != nil {
		checker = "" // the default
	}
	w.arguments(text("checker", checker), number("quorum", s.Quorum), truth("quiescent", s.Quiescent))
	if h := s.HealthCheck; h != nil {
		retries := argument{}
		if h.Retries != nil {
			retries = argument{"retries", strconv.Itoa(*h.Retries)}
		}
		w.block("health_check "+quoted(h.Type),
			period("interval", h.Interval), period("timeout", h.Timeout), retries, period("retry_delay", h.RetryDelay), number("port", int(h.Port)),
			text("path", h.Path), texts("status", h.Status, strconv.Itoa), text("host_header", h.HostHeader), text("contains", h.Contains),
			text("name", h.Name), text("record", h.Record), text("helo", h.HELO), text("send", h.Send), text("receive", h.Receive),
			text("command", h.Command), text("user", h.User))
	}
	if f := s.Fallback; f != nil {
		port := argument{}
		if f.Port != s.Port {
			port = number("port", int(f.Port))
		}
		w.block("fallback", address("address", f.Address), port, text("forward", f.Forward))
	}
}

func (w *writer) vrrp(v *topology.VRRPInstance) {
	version := v.Version
	if (v.Family() == "ipv6") == (version == 3) {
		version = 0 // the default
	}
	advert := v.AdvertInterval
	if advert == defaultAdvert {
		advert = 0
	}
	w.arguments(text("interface", v.Interface), text("router_id", v.RouterID), number("virtual_router_id", v.VirtualRouterID), number("priority", v.Priority),
		text("state", v.State), period("advert_interval", advert), truth("preempt", v.Preempt), period("preempt_delay", v.PreemptDelay), number("version", version),
		texts("track_interfaces", v.TrackInterfaces, quoted), text("sync_group", v.SyncGroup))
	if a := v.Authentication; a != nil {
		w.block("authentication", text("type", a.Type), argument{"password", "var." + w.secrets[a.Password]})
	}
	if u := v.Unicast; u != nil {
		w.block("unicast", address("source", u.Source), texts("peers", u.Peers, func(a netip.Addr) string { return quoted(a.String()) }))
	}
	for _, a := range v.VirtualAddresses {
		w.block(fmt.Sprintf("virtual_address %s", quoted(a.Name)), text("ip", a.IP.String()), text("device", a.Device), text("label", a.Label), truth("excluded", a.Excluded))
	}
}

// Secrets are the variables, by name, that Write declares for the passwords of
// the topology's VRRP instances, with their values, which Write does not write.
func Secrets(t *topology.Topology) map[string]string {
	out := map[string]string{}
	for password, name := range secretNames(t) {
		out[name] = password
	}
	return out
}

// secretNames names each password: by itself where there is one, else after the
// first instance that has it.
func secretNames(t *topology.Topology) map[string]string {
	out := map[string]string{}
	for _, r := range t.Resources {
		v, ok := r.Body.(*topology.VRRPInstance)
		if !ok || v.Authentication == nil || out[v.Authentication.Password] != "" {
			continue
		}
		out[v.Authentication.Password] = "vrrp_password_" + strings.TrimPrefix(r.Path, "vrrp_instance.")
	}
	if len(out) == 1 {
		for password := range out {
			out[password] = "vrrp_password"
		}
	}
	return out
}

// variables declares the passwords, without their values.
func (w *writer) variables() {
	for _, name := range slices.Sorted(maps.Values(w.secrets)) {
		w.line("\nvariable %s {\ntype = string\nsensitive = true\n}", quoted(name))
	}
}

// writable tells whether a resource's secrets are such as Write has variables for.
func writable(r *topology.Resource) bool {
	_, pair := r.Body.(*topology.VRRPInstance)
	return len(r.Sensitive) == 0 || pair && slices.Equal(r.Sensitive, []string{"authentication.password"})
}
