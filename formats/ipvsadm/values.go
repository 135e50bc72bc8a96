package ipvsadm

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lvsform/lvsform/state"
)

// What ipvsadm 1.31 takes where a line says nothing.
const (
	defaultScheduler   = "wlc"
	defaultPersistence = 360 * time.Second
	maxPersistence     = 31 * 24 * 3600 // seconds
	defaultSyncPort    = 8848
	defaultSyncTTL     = 1
)

const saveNumbers = "Save the table with numbers: ipvsadm-save -n."

// serviceID reads the options that name a service.
func serviceID(c command) (state.ServiceID, error) {
	name, err := c.one("tcp-service", "udp-service", "sctp-service", "fwmark-service")
	switch {
	case err != nil:
		return state.ServiceID{}, err
	case name == "":
		return state.ServiceID{}, mistake("the line names no service", "Add -t, -u, --sctp-service or -f.")
	case name == "fwmark-service":
		return markedService(c)
	case c.has("ipv6"):
		return state.ServiceID{}, mistake("-6 is for services of a firewall mark", "Take it out.")
	}
	at, _, err := endpoint(name, c.values[name])
	if err != nil {
		return state.ServiceID{}, err
	}
	id := state.ServiceID{Protocol: strings.TrimSuffix(name, "-service"), Address: at.Addr(), Port: at.Port(), Family: "ipv6"}
	if at.Addr().Is4() {
		id.Family = "ipv4"
	}
	return id, nil
}

// markedService reads -f. ipvsadm 1.31 saves a mark above 2147483647 as a
// negative number.
func markedService(c command) (state.ServiceID, error) {
	text := c.values["fwmark-service"]
	mark, err := strconv.ParseInt(text, 10, 64)
	if err != nil || mark < math.MinInt32 || mark > math.MaxUint32 || mark == 0 {
		return state.ServiceID{}, mistake(fmt.Sprintf("%q is no firewall mark", clip(text)), "A mark is a number from 1 to 4294967295.")
	}
	id := state.ServiceID{FWMark: uint32(mark), Family: "ipv4"}
	if c.has("ipv6") {
		id.Family = "ipv6"
	}
	return id, nil
}

// endpoint reads ADDRESS or ADDRESS:PORT, an IPv6 address in brackets.
func endpoint(option, text string) (at netip.AddrPort, withPort bool, err error) {
	address, port := text, ""
	if i := strings.LastIndexByte(text, ':'); i >= 0 && !strings.HasSuffix(text, "]") {
		address, port, withPort = text[:i], text[i+1:], true
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
	a, err := netip.ParseAddr(bare)
	switch {
	case err == nil && a.Is4() && bare == address:
	case err == nil && a.Is6() && a.Zone() == "" && address == "["+bare+"]":
	case strings.Count(text, ":") > 1 && !strings.HasPrefix(text, "["):
		return at, false, mistake(fmt.Sprintf("%q is no address with a port", clip(text)), "Write an IPv6 address in brackets: [2001:db8::1]:80.")
	default:
		return at, false, mistake(fmt.Sprintf("%q in %s is no address: it may be a name", clip(address), spelled(option)), saveNumbers)
	}
	if !withPort {
		return netip.AddrPortFrom(a, 0), false, nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return at, false, mistake(fmt.Sprintf("%q in %s is no port number: it may be a name", clip(port), spelled(option)), saveNumbers)
	}
	return netip.AddrPortFrom(a, uint16(n)), true, nil
}

// number reads the value of an option, or is zero without it.
func (c command) number(name string, low, high int64) (int64, error) {
	text, ok := c.values[name]
	if !ok {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < low || n > high {
		return 0, mistake(fmt.Sprintf("%s is %q", spelled(name), clip(text)), fmt.Sprintf("It takes a number from %d to %d.", low, high))
	}
	return n, nil
}

var safeWord = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,15}$`) // 16 bytes in the kernel, one of which ends it

// word reads a name of the kernel's.
func word(option, text string) (string, error) {
	if !safeWord.MatchString(text) {
		return "", mistake(fmt.Sprintf("%s is %q", spelled(option), clip(text)), "A name has up to 15 letters, digits, dots, dashes and underscores.")
	}
	return text, nil
}

func persistence(c command, s *state.Service) error {
	if text, ok := c.values["persistent"]; ok {
		s.Timeout = defaultPersistence
		if text != "" {
			n, err := c.number("persistent", 1, maxPersistence)
			if err != nil {
				return err
			}
			s.Timeout = time.Duration(n) * time.Second
		}
	}
	for _, name := range []string{"netmask", "pe"} {
		if c.has(name) && s.Timeout == 0 {
			return mistake(spelled(name)+" is for persistent services", "Add -p, or take it out.")
		}
	}
	if text, ok := c.values["netmask"]; ok {
		var err error
		if s.Netmask, err = netmask(text, s.Family); err != nil {
			return err
		}
	}
	if name, ok := c.values["pe"]; ok {
		var err error
		if s.Engine, err = word("pe", name); err != nil {
			return err
		}
	}
	return nil
}

// netmask reads a mask as ipvsadm writes it: dotted for IPv4, a prefix length
// for IPv6.
func netmask(text, family string) (int, error) {
	wrong := func(fix string) (int, error) {
		return 0, mistake(fmt.Sprintf("-M is %q", clip(text)), fix)
	}
	if family == "ipv6" {
		if n, err := strconv.Atoi(text); err == nil && n >= 1 && n <= 128 {
			return n, nil
		}
		return wrong("For IPv6 it takes a prefix length from 1 to 128.")
	}
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return wrong("It takes a netmask such as 255.255.255.0.")
	}
	b := a.As4()
	mask := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	ones := bits.LeadingZeros32(^mask)
	if mask<<ones != 0 || ones == 0 {
		return wrong("A configuration can only say netmasks of which the ones stand together, such as 255.255.255.0.")
	}
	return ones, nil
}

// schedulerFlags names flags as ipvsadm lists them for a scheduler, whichever
// of their names the line has.
func schedulerFlags(scheduler, list string) (string, error) {
	names := [...]string{"flag-1", "flag-2", "flag-3"}
	if scheduler == "sh" || scheduler == "mh" {
		names[0], names[1] = scheduler+"-fallback", scheduler+"-port"
	}
	var out []string
	for _, flag := range strings.Split(list, ",") {
		i := slices.Index([]string{"flag-1", "flag-2", "flag-3"}, flag)
		if i < 0 {
			i = slices.Index(names[:], flag)
		}
		if i < 0 {
			return "", mistake(fmt.Sprintf("-b has %q, which is no flag of scheduler %s", clip(flag), scheduler), "It has "+strings.Join(names[:], ", ")+".")
		}
		out = append(out, names[i])
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ","), nil
}

func destination(c command, id state.ServiceID) (state.Destination, error) {
	d := state.Destination{Service: id, Weight: 1, Forward: "dr"}
	text, ok := c.values["real-server"]
	if !ok {
		return d, mistake("the line names no real server", "Add -r ADDRESS:PORT.")
	}
	at, withPort, err := endpoint("real-server", text)
	if err != nil {
		return d, err
	}
	d.Address, d.Port = at.Addr(), at.Port()
	if !withPort {
		d.Port = id.Port
	}
	forward, err := c.one("gatewaying", "ipip", "masquerading")
	if err != nil {
		return d, err
	}
	d.Forward = map[string]string{"": "dr", "gatewaying": "dr", "ipip": "tun", "masquerading": "nat"}[forward]
	if (d.Address.Is4() != (id.Family == "ipv4")) && d.Forward != "tun" {
		return d, mistake(fmt.Sprintf("real server %s is of the other address family", d.Address), "Only a tunnel (-i) reaches it.")
	}
	if c.has("weight") {
		n, err := c.number("weight", 0, math.MaxInt32)
		if err != nil {
			return d, err
		}
		d.Weight = int(n)
	}
	upper, err := c.number("u-threshold", 0, math.MaxInt32)
	if err != nil {
		return d, err
	}
	lower, err := c.number("l-threshold", 0, math.MaxInt32)
	if err != nil {
		return d, err
	}
	if lower > upper {
		return d, mistake(fmt.Sprintf("-y is %d, above -x, which is %d", lower, upper), "The kernel refuses it: make -y the smaller one.")
	}
	d.Upper, d.Lower = uint32(upper), uint32(lower)
	return d, tunnel(c, &d)
}

func tunnel(c command, d *state.Destination) error {
	checksum, err := c.one("tun-nocsum", "tun-csum", "tun-remcsum")
	if err != nil {
		return err
	}
	if d.Forward != "tun" {
		for _, name := range []string{"tun-type", "tun-port", checksum} {
			if name != "" && c.has(name) {
				return mistake(spelled(name)+" is for tunnels", "Add -i, or take it out.")
			}
		}
		return nil
	}
	port, err := c.number("tun-port", 0, 65535)
	if err != nil {
		return err
	}
	d.TunnelType, d.TunnelPort = cmp.Or(c.values["tun-type"], "ipip"), uint16(port)
	if checksum != "tun-nocsum" {
		d.TunnelChecksum = strings.TrimPrefix(checksum, "tun-")
	}
	switch t := d.TunnelType; {
	case t != "ipip" && t != "gue" && t != "gre":
		return mistake(fmt.Sprintf("--tun-type is %q", clip(t)), "It is ipip, gue or gre.")
	case (t == "gue") != (port != 0):
		return mistake("--tun-port belongs to --tun-type gue, and that needs it", "Write both, or neither.")
	case t == "ipip" && d.TunnelChecksum != "" || t == "gre" && d.TunnelChecksum == "remcsum":
		return mistake(fmt.Sprintf("--%s has no meaning for an %s tunnel", checksum, t), "Take it out.")
	}
	return nil
}
