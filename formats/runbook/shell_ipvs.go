package runbook

import (
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/lvsform/lvsform/state"
)

// ipvs makes what belongs to the IPVS table. Editing fails where the object is
// not there, so it is tried first.
func ipvs(o state.Object) []line {
	switch o := o.(type) {
	case state.Timeouts:
		return []line{words(append([]string{"ipvsadm", "--set"}, timeouts(o)...)...)}
	case state.Sync:
		list := words("ipvsadm", "--list", "--daemon").then("|", words("grep", "-q", "^"+o.Role+" sync daemon"))
		return []line{list.or(words(append([]string{"ipvsadm"}, syncWords(o)...)...))}
	case state.Service:
		return []line{editOrAdd("--edit-service", "--add-service", append(serviceWords(o.ServiceID), serviceOptions(o)...))}
	case state.Destination:
		return []line{editOrAdd("--edit-server", "--add-server", append(destinationID(o), destinationOptions(o)...))}
	}
	return nil
}

func editOrAdd(edit, add string, rest []string) line {
	return words(append([]string{"ipvsadm", edit}, rest...)...).silent().or(words(append([]string{"ipvsadm", add}, rest...)...))
}

func timeouts(t state.Timeouts) []string {
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
	return []string{seconds(t.TCP), seconds(t.TCPFin), seconds(t.UDP)}
}

func syncWords(s state.Sync) []string {
	out := []string{"--start-daemon", s.Role, "--mcast-interface", s.Interface, "--syncid", strconv.Itoa(s.ID)}
	if s.MaxLength != 0 {
		out = append(out, "--sync-maxlen", strconv.Itoa(s.MaxLength))
	}
	if s.Group.IsValid() {
		out = append(out, "--mcast-group", s.Group.String())
	}
	if s.Port != 0 {
		out = append(out, "--mcast-port", strconv.Itoa(int(s.Port)))
	}
	if s.TTL != 0 {
		out = append(out, "--mcast-ttl", strconv.Itoa(s.TTL))
	}
	return out
}

func serviceWords(s state.ServiceID) []string {
	if s.FWMark != 0 {
		out := []string{"--fwmark-service", strconv.FormatUint(uint64(s.FWMark), 10)}
		if s.Family == "ipv6" {
			out = append(out, "--ipv6")
		}
		return out
	}
	return []string{"--" + s.Protocol + "-service", netip.AddrPortFrom(s.Address, s.Port).String()}
}

func serviceOptions(s state.Service) []string {
	out := []string{"--scheduler", s.Scheduler}
	if s.SchedulerFlags != "" {
		out = append(out, "--sched-flags", s.SchedulerFlags)
	}
	if s.OnePacket {
		out = append(out, "--ops")
	}
	if s.Timeout == 0 {
		return out
	}
	out = append(out, "--persistent", strconv.Itoa(int(s.Timeout/time.Second)))
	if s.Netmask != 0 && s.Netmask != 32 && s.Family == "ipv4" {
		out = append(out, "--netmask", net.IP(net.CIDRMask(s.Netmask, 32)).String())
	}
	if s.Netmask != 0 && s.Netmask != 128 && s.Family == "ipv6" {
		out = append(out, "--netmask", strconv.Itoa(s.Netmask))
	}
	if s.Engine != "" {
		out = append(out, "--pe", s.Engine)
	}
	return out
}

func destinationID(d state.Destination) []string {
	return append(serviceWords(d.Service), "--real-server", netip.AddrPortFrom(d.Address, d.Port).String())
}

var forwards = map[string]string{"dr": "--gatewaying", "nat": "--masquerading", "tun": "--ipip"}

func destinationOptions(d state.Destination) []string {
	out := []string{forwards[d.Forward], "--weight", strconv.Itoa(d.Weight)}
	if d.Upper != 0 {
		out = append(out, "--u-threshold", strconv.FormatUint(uint64(d.Upper), 10))
	}
	if d.Lower != 0 {
		out = append(out, "--l-threshold", strconv.FormatUint(uint64(d.Lower), 10))
	}
	if d.TunnelType == "" || d.TunnelType == "ipip" {
		return out
	}
	out = append(out, "--tun-type", d.TunnelType)
	if d.TunnelPort != 0 {
		out = append(out, "--tun-port", strconv.Itoa(int(d.TunnelPort)))
	}
	switch d.TunnelChecksum {
	case "csum":
		out = append(out, "--tun-csum")
	case "remcsum":
		out = append(out, "--tun-remcsum")
	default:
		out = append(out, "--tun-nocsum")
	}
	return out
}
