//go:build linux

package network

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent/netlink"
	"github.com/lvsform/lvsform/state"
)

// Attributes of tunnels, of linux/if_tunnel.h.
const (
	iptunLocal      = 2
	iptunRemote     = 3
	iptunTTL        = 4
	iptunEncapLimit = 6
	iptunFlags      = 8
	iptunProto      = 9
	greLocal        = 6
	greRemote       = 7

	// ip6tnlIgnoreEncapLimit is IP6_TNL_F_IGN_ENCAP_LIMIT of
	// linux/ip6_tunnel.h: no extra header in every packet.
	ip6tnlIgnoreEncapLimit = 1
	// hopLimit is what ip-link(8) gives such a tunnel.
	hopLimit = 64
)

// liveLink is a link as the kernel has it.
type liveLink struct {
	index    int
	link     state.Link
	arp      bool // it answers ARP
	up       bool // and has a carrier
	hardware []byte
	message  []byte
}

func readLinks() ([]liveLink, error) {
	body := make([]byte, unix.SizeofIfInfomsg)
	const skipStatistics = 1 << 3 // RTEXT_FILTER_SKIP_STATS
	body = put32(body, unix.IFLA_EXT_MASK, skipStatistics)
	messages, err := dump(unix.RTM_GETLINK, body)
	if err != nil {
		return nil, err
	}
	var out []liveLink
	for _, m := range messages {
		if len(m) >= unix.SizeofIfInfomsg {
			out = append(out, parseLink(m))
		}
	}
	return out, nil
}

func parseLink(m []byte) liveLink {
	a := parse(m, unix.SizeofIfInfomsg)
	flags := native.Uint32(m[8:])
	l := liveLink{
		index: int(int32(native.Uint32(m[4:]))),
		link: state.Link{
			Name: getString(a[unix.IFLA_IFNAME]),
			Kind: "device",
			Up:   state.Some(flags&unix.IFF_UP != 0),
			MTU:  state.Some(int(get32(a[unix.IFLA_MTU]))),
		},
		arp: native.Uint16(m[2:]) == unix.ARPHRD_ETHER && flags&(unix.IFF_NOARP|unix.IFF_LOOPBACK) == 0,
		up:  flags&unix.IFF_UP != 0, hardware: a[unix.IFLA_ADDRESS], message: m,
	}
	info := parse(a[unix.IFLA_LINKINFO], 0)
	if kind := getString(info[unix.IFLA_INFO_KIND]); kind != "" {
		l.link.Kind = kind
	}
	data := parse(info[unix.IFLA_INFO_DATA], 0)
	switch l.link.Kind {
	case "ip6tnl":
		l.link.Mode = modeOf(data[iptunProto])
		fallthrough
	case "ipip", "sit":
		l.link.Local, l.link.Remote = getAddr(data[iptunLocal]), getAddr(data[iptunRemote])
	case "gre", "gretap", "ip6gre", "ip6gretap":
		l.link.Local, l.link.Remote = getAddr(data[greLocal]), getAddr(data[greRemote])
	}
	_, l.link.Fallback = fallbackMTU(l.link.Name, l.link.Kind)
	return l
}

// modeOf names the inner protocol of an ip6tnl link.
func modeOf(proto []byte) string {
	if len(proto) == 0 {
		return ""
	}
	switch proto[0] {
	case unix.IPPROTO_IPV6:
		return "ip6ip6"
	case unix.IPPROTO_IPIP:
		return "ipip6"
	}
	return "any"
}

func protoOf(mode string) (byte, error) {
	switch mode {
	case "", "ip6ip6":
		return unix.IPPROTO_IPV6, nil
	case "ipip6":
		return unix.IPPROTO_IPIP, nil
	case "any":
		return 0, nil
	}
	return 0, fmt.Errorf("mode %q is none of ip6ip6, ipip6, any", mode)
}

// fallbackMTU tells whether a link is one that the kernel makes with its
// module or namespace, and the MTU that it has then (1500, or what Ethernet
// leaves, less the tunnel's headers).
func fallbackMTU(name, kind string) (mtu int, ok bool) {
	switch name + " " + kind {
	case "tunl0 ipip", "sit0 sit":
		return 1480, true
	case "ip6tnl0 ip6tnl":
		return 1452, true
	case "gre0 gre":
		return 1476, true
	case "gretap0 gretap":
		return 1462, true
	case "erspan0 erspan":
		return 1450, true
	case "ip6gre0 ip6gre":
		return 1448, true
	case "ip_vti0 vti":
		return 1480, true
	case "ip6_vti0 vti6":
		return 1428, true
	}
	return 0, false
}

// moduleOf is the module of a kind of links, "" where there is none to load.
func moduleOf(kind string) string {
	switch kind {
	case "dummy", "ipip", "sit":
		return kind
	case "ip6tnl":
		return "ip6_tunnel"
	case "gre":
		return "ip_gre"
	}
	return ""
}

// find looks a link up by name; nil when there is none. It is asked by netlink:
// the older ioctl would load a module of that name.
func find(name string) (*liveLink, error) {
	if name == "" || len(name) >= unix.IFNAMSIZ {
		return nil, nil
	}
	messages, err := netlink.Ask(unix.NETLINK_ROUTE, unix.RTM_GETLINK, 0, putString(make([]byte, unix.SizeofIfInfomsg), unix.IFLA_IFNAME, name))
	if errors.Is(err, unix.ENODEV) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for device %s: %w", name, err)
	}
	for _, m := range messages {
		if len(m) < unix.SizeofIfInfomsg {
			continue
		}
		if l := parseLink(m); l.link.Name == name {
			return &l, nil
		}
	}
	return nil, nil
}

// indexOf is the index of a device that must be there.
func indexOf(device string) (int, error) {
	l, err := find(device)
	if err != nil {
		return 0, err
	}
	if l == nil {
		return 0, fmt.Errorf("there is no device %s: %w", device, unix.ENODEV)
	}
	return l.index, nil
}

func (n *Network) changeLink(c state.Change) error {
	if c.After == nil {
		return deleteLink(c.Before.(state.Link))
	}
	want := c.After.(state.Link)
	if c.Before != nil {
		before := c.Before.(state.Link)
		want = want.Resolve(before).(state.Link)
		if replaced := (state.Change{Before: before, After: want}); !replaced.Replaces() {
			return adjust(want)
		}
		if before.Fallback {
			return fmt.Errorf("%s is made by the kernel: its kind, mode and addresses cannot be changed", want.Name)
		}
		if err := deleteLink(before); err != nil {
			return err
		}
	}
	return n.createLink(want)
}

func (n *Network) createLink(want state.Link) error {
	var loading error
	if module := moduleOf(want.Kind); module != "" {
		// The kernel may have the kind built in: only its answer counts.
		loading = n.Load(module)
	}
	live, err := find(want.Name)
	if err != nil {
		return err
	}
	if live != nil && live.link.Fallback {
		if want.Kind != "" && live.link.Kind != want.Kind {
			return fmt.Errorf("%s is a link of kind %s: %w", want.Name, live.link.Kind, unix.EEXIST)
		}
		return adjust(want)
	}
	body, err := n.describeLink(want)
	if err != nil {
		return err
	}
	err = send(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, body)
	if errors.Is(err, unix.EOPNOTSUPP) && loading != nil {
		return fmt.Errorf("links of kind %s: %w", want.Kind, loading)
	}
	if err != nil {
		return err
	}
	return adjust(want)
}

// describeLink is the message that creates a link: as it was where it has been
// read before, else from its attributes.
func (n *Network) describeLink(l state.Link) ([]byte, error) {
	body := make([]byte, unix.SizeofIfInfomsg)
	body = putString(body, unix.IFLA_IFNAME, l.Name)
	if was, ok := n.raw[l]; ok {
		a := parse(was.message, unix.SizeofIfInfomsg)
		if native.Uint16(was.message[2:]) == unix.ARPHRD_ETHER {
			body = put(body, unix.IFLA_ADDRESS, a[unix.IFLA_ADDRESS])
		}
		info := parse(a[unix.IFLA_LINKINFO], 0)
		return put(body, unix.IFLA_LINKINFO|unix.NLA_F_NESTED, linkInfo(l.Kind, info[unix.IFLA_INFO_DATA])), nil
	}
	data, err := tunnelData(l)
	if err != nil {
		return nil, err
	}
	return put(body, unix.IFLA_LINKINFO|unix.NLA_F_NESTED, linkInfo(l.Kind, data)), nil
}

func linkInfo(kind string, data []byte) []byte {
	info := putString(nil, unix.IFLA_INFO_KIND, kind)
	if len(data) > 0 {
		info = put(info, unix.IFLA_INFO_DATA|unix.NLA_F_NESTED, data)
	}
	return info
}

func tunnelData(l state.Link) ([]byte, error) {
	switch l.Kind {
	case "dummy":
		return nil, nil
	case "ipip":
		return endpoints(l, iptunLocal, iptunRemote), nil
	case "sit":
		return put(endpoints(l, iptunLocal, iptunRemote), iptunProto, []byte{unix.IPPROTO_IPV6}), nil
	case "ip6tnl":
		proto, err := protoOf(l.Mode)
		data := put(endpoints(l, iptunLocal, iptunRemote), iptunProto, []byte{proto})
		data = put(data, iptunTTL, []byte{hopLimit})
		return put32(data, iptunFlags, ip6tnlIgnoreEncapLimit), err
	case "gre":
		return endpoints(l, greLocal, greRemote), nil
	}
	return nil, fmt.Errorf("links of kind %q cannot be created: use dummy, ipip, ip6tnl, sit or gre", l.Kind)
}

func endpoints(l state.Link, local, remote uint16) []byte {
	var b []byte
	add := func(kind uint16, a netip.Addr) {
		if a.IsValid() {
			b = put(b, kind, a.AsSlice())
		}
	}
	add(local, l.Local)
	add(remote, l.Remote)
	return b
}

// adjust sets the MTU and the administrative state where the link has others.
func adjust(want state.Link) error {
	live, err := find(want.Name)
	if err != nil {
		return err
	}
	if live == nil {
		return fmt.Errorf("there is no device %s: %w", want.Name, unix.ENODEV)
	}
	if want.MTU.Set && want.MTU != live.link.MTU {
		body := put32(linkHeader(live.index, 0, 0), unix.IFLA_MTU, uint32(want.MTU.Value))
		if err := send(unix.RTM_NEWLINK, 0, body); err != nil {
			return fmt.Errorf("set the MTU %d: %w", want.MTU.Value, err)
		}
	}
	if want.Up.Set && want.Up != live.link.Up {
		flags := uint32(0)
		if want.Up.Value {
			flags = unix.IFF_UP
		}
		return send(unix.RTM_NEWLINK, 0, linkHeader(live.index, flags, unix.IFF_UP))
	}
	return nil
}

func linkHeader(index int, flags, change uint32) []byte {
	body := make([]byte, unix.SizeofIfInfomsg)
	native.PutUint32(body[4:], uint32(index))
	native.PutUint32(body[8:], flags)
	native.PutUint32(body[12:], change)
	return body
}

// deleteLink removes a link. One that the kernel made itself cannot be removed:
// it is put back to how it came.
func deleteLink(l state.Link) error {
	live, err := find(l.Name)
	if err != nil || live == nil {
		return err
	}
	if mtu, ok := fallbackMTU(live.link.Name, live.link.Kind); ok {
		return adjust(state.Link{Name: l.Name, Up: state.Some(false), MTU: state.Some(mtu)})
	}
	err = send(unix.RTM_DELLINK, 0, linkHeader(live.index, 0, 0))
	if gone(err) {
		return nil
	}
	return err
}
