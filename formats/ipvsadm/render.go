// Package ipvsadm is the text form in which ipvsadm(8) saves an IPVS table.
package ipvsadm

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lvsform/lvsform/state"
)

// Holds tells whether the text form has a line for an object.
func Holds(o state.Object) bool {
	switch o.(type) {
	case state.Service, state.Destination, state.Timeouts, state.Sync:
		return true
	}
	return false
}

// Render writes a table as `ipvsadm -S -n` does, ordered by service, with what
// that one leaves out and `ipvsadm -R` takes too: thresholds, and after the
// services timeouts and synchronisation daemons. Objects for which Holds is
// false have no part in it. A value that -R would not read back is an error.
func Render(objects state.Objects) (string, error) {
	list := slices.DeleteFunc(slices.Clone(objects), func(o state.Object) bool { return !Holds(o) })
	slices.SortFunc(list, func(a, b state.Object) int {
		x, y := place(a), place(b)
		return cmp.Or(cmp.Compare(x.service, y.service), cmp.Compare(x.rank, y.rank), a.Key().Compare(b.Key()))
	})
	services := map[string]bool{}
	var b strings.Builder
	for _, o := range list {
		switch o := o.(type) {
		case state.Service:
			services[o.ServiceID.String()] = true
		case state.Destination:
			if !services[o.Service.String()] {
				return "", fmt.Errorf("%s: the table has no such service", o.Key())
			}
		}
		words, err := line(o)
		if err != nil {
			return "", fmt.Errorf("%s: %w", o.Key(), err)
		}
		for _, w := range words {
			if !plainWord.MatchString(w) || w == program {
				return "", fmt.Errorf("%s: ipvsadm -R cannot read back %q", o.Key(), w)
			}
		}
		b.WriteString(strings.Join(words, " "))
		b.WriteByte('\n')
	}
	return b.String(), nil
}

// program is left out where ipvsadm -R finds it, so that lines of a script can
// be restored as they are.
const program = "ipvsadm"

// plainWord is a word that cannot become two, or a line.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_.,:@%+/\[\]=-]+$`)

// placed orders the lines: a service, then its servers; last what is no part of
// a service.
type placed struct {
	service string
	rank    int
}

func place(o state.Object) placed {
	switch o := o.(type) {
	case state.Service:
		return placed{service: o.ServiceID.String()}
	case state.Destination:
		return placed{service: o.Service.String(), rank: 1}
	case state.Timeouts:
		return placed{service: afterServices}
	}
	return placed{service: afterServices, rank: 1}
}

// afterServices sorts behind the id of every service.
const afterServices = "~"

func line(o state.Object) ([]string, error) {
	switch o := o.(type) {
	case state.Service:
		words, err := serviceWords(o.ServiceID)
		return slices.Concat([]string{"-A"}, words, serviceOptions(o)), err
	case state.Destination:
		words, err := serviceWords(o.Service)
		if err != nil {
			return nil, err
		}
		forward, ok := forwards[o.Forward]
		if !ok {
			return nil, fmt.Errorf("ipvsadm has no option for forward %q", o.Forward)
		}
		server := netip.AddrPortFrom(o.Address, o.Port).String()
		return slices.Concat([]string{"-a"}, words, []string{"-r", server, forward, "-w", strconv.Itoa(o.Weight)}, destinationOptions(o)), nil
	case state.Timeouts:
		return []string{"--set", seconds(o.TCP), seconds(o.TCPFin), seconds(o.UDP)}, nil
	case state.Sync:
		return daemonWords(o), nil
	}
	return nil, fmt.Errorf("no line of a table")
}

var (
	forwards  = map[string]string{"dr": "-g", "tun": "-i", "nat": "-m"}
	protocols = map[string]string{"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}
)

func serviceWords(s state.ServiceID) ([]string, error) {
	if s.FWMark != 0 {
		words := []string{"-f", strconv.FormatUint(uint64(s.FWMark), 10)}
		if s.Family == "ipv6" {
			words = append(words, "-6")
		}
		return words, nil
	}
	option, ok := protocols[s.Protocol]
	if !ok {
		return nil, fmt.Errorf("ipvsadm has no option for protocol %q", s.Protocol)
	}
	return []string{option, netip.AddrPortFrom(s.Address, s.Port).String()}, nil
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

func serviceOptions(s state.Service) []string {
	words := []string{"-s", s.Scheduler}
	if s.Timeout != 0 {
		words = append(words, "-p", seconds(s.Timeout))
		switch {
		case s.Family == "ipv4" && s.Netmask != 32:
			words = append(words, "-M", net.IP(net.CIDRMask(s.Netmask, 32)).String())
		case s.Family == "ipv6" && s.Netmask != 128:
			words = append(words, "-M", strconv.Itoa(s.Netmask))
		}
		if s.Engine != "" {
			words = append(words, "--pe", s.Engine)
		}
	}
	if s.OnePacket {
		words = append(words, "-o")
	}
	if s.SchedulerFlags != "" {
		words = append(words, "-b", s.SchedulerFlags)
	}
	return words
}

func destinationOptions(d state.Destination) []string {
	var words []string
	number := func(option string, n uint64) {
		if n != 0 {
			words = append(words, option, strconv.FormatUint(n, 10))
		}
	}
	number("-x", uint64(d.Upper))
	number("-y", uint64(d.Lower))
	if d.TunnelType == "" || d.TunnelType == "ipip" {
		return words
	}
	words = append(words, "--tun-type", d.TunnelType)
	number("--tun-port", uint64(d.TunnelPort))
	return append(words, "--tun-"+cmp.Or(d.TunnelChecksum, "nocsum"))
}

func daemonWords(s state.Sync) []string {
	words := []string{"--start-daemon", s.Role, "--mcast-interface", s.Interface, "--syncid", strconv.Itoa(s.ID)}
	if s.MaxLength != 0 {
		words = append(words, "--sync-maxlen", strconv.Itoa(s.MaxLength))
	}
	if s.Group.IsValid() {
		words = append(words, "--mcast-group", s.Group.String())
	}
	if s.Port != 0 {
		words = append(words, "--mcast-port", strconv.Itoa(int(s.Port)))
	}
	if s.TTL != 0 {
		words = append(words, "--mcast-ttl", strconv.Itoa(s.TTL))
	}
	return words
}
