//go:build linux

package network

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// forever is INFINITY_LIFE_TIME of net/addrconf.h, in seconds.
const forever = 0xffffffff

func readAddresses(names map[int]string, add func(state.Object, []byte)) error {
	messages, err := dump(unix.RTM_GETADDR, make([]byte, unix.SizeofIfAddrmsg))
	if err != nil {
		return err
	}
	for _, m := range messages {
		if len(m) < unix.SizeofIfAddrmsg || m[0] != unix.AF_INET && m[0] != unix.AF_INET6 {
			continue
		}
		device, ok := names[int(native.Uint32(m[4:]))]
		if !ok {
			return errMoved
		}
		if a, ok := parseAddress(m, device); ok {
			add(a, m)
		}
	}
	return nil
}

func parseAddress(m []byte, device string) (state.Address, bool) {
	a := parse(m, unix.SizeofIfAddrmsg)
	address, ok := netip.AddrFromSlice(a[unix.IFA_ADDRESS])
	local, haveLocal := netip.AddrFromSlice(a[unix.IFA_LOCAL])
	if !haveLocal {
		local = address
	}
	if !ok && !haveLocal {
		return state.Address{}, false
	}
	bits := int(m[1])
	out := state.Address{
		Device: device, IP: netip.PrefixFrom(local, bits),
		Broadcast: getAddr(a[unix.IFA_BROADCAST]), Scope: scopeName(m[3]),
	}
	if label := getString(a[unix.IFA_LABEL]); label != device {
		out.Label = label
	}
	if ok && address != local {
		out.Peer = netip.PrefixFrom(address, bits)
	}
	flags := addressFlags(m, a)
	out.NoDAD = local.Is6() && flags&unix.IFA_F_NODAD != 0
	out.Deprecated = flags&unix.IFA_F_DEPRECATED != 0
	if life := a[unix.IFA_CACHEINFO]; len(life) >= 8 && native.Uint32(life) == 0 {
		out.Deprecated = true
	}
	return out, true
}

func addressFlags(m []byte, a attributes) uint32 {
	if f := a[unix.IFA_FLAGS]; len(f) >= 4 {
		return native.Uint32(f)
	}
	return uint32(m[2])
}

func (n *Network) changeAddress(c state.Change) error {
	after, creates := c.After.(state.Address)
	if c.Before != nil && creates && !c.Replaces() {
		index, err := indexOf(after.Device)
		if err != nil {
			return err
		}
		// The lifetime is named: without it the kernel leaves it as it is.
		return send(unix.RTM_NEWADDR, unix.NLM_F_REPLACE, describeAddress(after, index, true))
	}
	if before, ok := c.Before.(state.Address); ok {
		if err := deleteAddress(before); err != nil {
			return err
		}
	}
	if !creates {
		return nil
	}
	err := n.createAddress(after)
	if c.Before == nil || !errors.Is(err, unix.EEXIST) {
		return err
	}
	// IPv4 takes one address with several lengths: what is to be made was there
	// behind the one that it replaces.
	if err := deleteAddress(after); err != nil {
		return err
	}
	return n.createAddress(after)
}

func deleteAddress(a state.Address) error {
	live, err := find(a.Device)
	if err != nil || live == nil {
		return err
	}
	// The kernel has one address of this peer and length, whatever its label.
	err = send(unix.RTM_DELADDR, 0, addressMessage(a, live.index))
	if gone(err) {
		return nil
	}
	return err
}

func (n *Network) createAddress(a state.Address) error {
	if !a.IP.IsValid() {
		return fmt.Errorf("address without an IP")
	}
	index, err := indexOf(a.Device)
	if err != nil {
		return err
	}
	body := describeAddress(a, index, a.Deprecated)
	if was, ok := n.raw[a]; ok {
		body = replayAddress(was.message, index)
	}
	return send(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, body)
}

// describeAddress is the message that makes an address; with its lifetime if asked.
func describeAddress(a state.Address, index int, lifetime bool) []byte {
	body := addressMessage(a, index)
	if a.Broadcast.IsValid() {
		body = put(body, unix.IFA_BROADCAST, a.Broadcast.AsSlice())
	}
	if a.IP.Addr().Is4() {
		body = putString(body, unix.IFA_LABEL, cmp.Or(a.Label, a.Device))
	}
	if a.NoDAD {
		body = put32(body, unix.IFA_FLAGS, unix.IFA_F_NODAD)
	}
	if lifetime {
		body = put(body, unix.IFA_CACHEINFO, lifetimes(a.Deprecated))
	}
	return body
}

// addressMessage is what tells an address from all others of its link.
func addressMessage(a state.Address, index int) []byte {
	body := make([]byte, unix.SizeofIfAddrmsg)
	body[0], body[1], body[3] = familyOf(a.IP.Addr()), byte(a.IP.Bits()), scopeNumber(a.Scope)
	native.PutUint32(body[4:], uint32(index))
	peer := a.IP.Addr()
	if a.Peer.IsValid() {
		peer = a.Peer.Addr()
	}
	body = put(body, unix.IFA_LOCAL, a.IP.Addr().AsSlice())
	return put(body, unix.IFA_ADDRESS, peer.AsSlice())
}

// lifetimes is struct ifa_cacheinfo: preferred and valid lifetime in seconds,
// then two times that only the kernel sets.
func lifetimes(deprecated bool) []byte {
	preferred := uint32(forever)
	if deprecated {
		preferred = 0
	}
	b := native.AppendUint32(nil, preferred)
	b = native.AppendUint32(b, forever)
	return append(b, make([]byte, 8)...)
}

// replayAddress turns the kernel's description into one that creates the same
// address on a link of another index.
func replayAddress(message []byte, index int) []byte {
	// What is state of the moment, or follows from the order of addresses.
	const momentary = unix.IFA_F_SECONDARY | unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED |
		unix.IFA_F_DEPRECATED | unix.IFA_F_PERMANENT
	body := append([]byte(nil), message[:unix.SizeofIfAddrmsg]...)
	body[2] &^= momentary & 0xff
	native.PutUint32(body[4:], uint32(index))
	each(message, unix.SizeofIfAddrmsg, func(kind uint16, value []byte) {
		if kind == unix.IFA_FLAGS {
			body = put32(body, kind, get32(value)&^momentary)
			return
		}
		body = put(body, kind, value)
	})
	return body
}

// Scopes of linux/rtnetlink.h, as ip-address(8) names them.
func scopeName(n uint8) string {
	switch n {
	case unix.RT_SCOPE_UNIVERSE:
		return "global"
	case unix.RT_SCOPE_SITE:
		return "site"
	case unix.RT_SCOPE_LINK:
		return "link"
	case unix.RT_SCOPE_HOST:
		return "host"
	case unix.RT_SCOPE_NOWHERE:
		return "nowhere"
	}
	return strconv.Itoa(int(n))
}

func scopeNumber(name string) uint8 {
	switch name {
	case "", "global":
		return unix.RT_SCOPE_UNIVERSE
	case "site":
		return unix.RT_SCOPE_SITE
	case "link":
		return unix.RT_SCOPE_LINK
	case "host":
		return unix.RT_SCOPE_HOST
	case "nowhere":
		return unix.RT_SCOPE_NOWHERE
	}
	n, _ := strconv.ParseUint(name, 10, 8)
	return uint8(n)
}
