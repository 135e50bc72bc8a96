//go:build linux

package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent/module"
	"github.com/lvsform/lvsform/agent/netlink"
	"github.com/lvsform/lvsform/state"
)

// Numbers of linux/fou.h. The messages are made here because netlink's FouAdd
// names an inner protocol also for GUE, which newer kernels refuse.
const (
	fouPort      = 1
	fouFamily    = 2
	fouProtocol  = 3
	fouType      = 4
	fouNoPartial = 5 // a flag
	fouMost      = 11

	fouDirect = 1
	fouGUE    = 2

	fouAdd = 1
	fouDel = 2
	fouGet = 3
)

// fouModule is the module of the generic netlink family of the same name.
const fouModule = "fou"

// readFOU adds the ports at which the kernel unwraps packets. Where the module
// is not loaded there are none; asking for its family would load it, unless
// there is no tree of modules at all.
func readFOU(add func(state.Object, []byte)) error {
	there, known := module.Running(fouModule)
	if known && !there {
		return nil
	}
	messages, err := fouRequest(fouGet, unix.NLM_F_DUMP, nil)
	if !known && errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, m := range messages {
		if len(m) < unix.GENL_HDRLEN {
			continue
		}
		if f, ok := parseFOU(parse(m, unix.GENL_HDRLEN)); ok {
			add(f, m)
		}
	}
	return nil
}

var fouProtocols = map[byte]string{unix.IPPROTO_IPIP: "ipip", unix.IPPROTO_IPV6: "ipv6", unix.IPPROTO_GRE: "gre"}

func parseFOU(a attributes) (f state.FOU, ok bool) {
	if len(a[fouPort]) < 2 || len(a[fouFamily]) < 1 || len(a[fouType]) < 1 {
		return f, false
	}
	f.Port = binary.BigEndian.Uint16(a[fouPort])
	f.Family = "ipv4"
	if a[fouFamily][0] == unix.AF_INET6 {
		f.Family = "ipv6"
	}
	f.Protocol = "gue"
	if a[fouType][0] == fouDirect && len(a[fouProtocol]) > 0 {
		if f.Protocol = fouProtocols[a[fouProtocol][0]]; f.Protocol == "" {
			f.Protocol = strconv.Itoa(int(a[fouProtocol][0]))
		}
	}
	// What lvsform does not write makes the port another one: bound to an
	// address or an interface it takes fewer packets.
	for number := fouType + 1; number <= fouMost; number++ {
		value := a[number]
		if value == nil || unset(value) && number != fouNoPartial {
			continue
		}
		f.Protocol += fmt.Sprintf(" attribute-%d=%x", number, value)
	}
	return f, true
}

// unset tells whether a port is not bound by an attribute: newer kernels tell
// of the address 0.0.0.0 and the interface 0.
func unset(value []byte) bool { return strings.Trim(string(value), "\x00") == "" }

func (n *Network) changeFOU(c state.Change) error {
	if c.Before != nil {
		if err := n.deleteFOU(c.Before.(state.FOU)); err != nil {
			return err
		}
	}
	if c.After == nil {
		return nil
	}
	want := c.After.(state.FOU)
	body, err := n.describeFOU(want)
	if err != nil {
		return err
	}
	if err := n.Load(fouModule); err != nil {
		return fmt.Errorf("UDP ports that unwrap packets: %w", err)
	}
	_, err = fouRequest(fouAdd, unix.NLM_F_ACK, body)
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("UDP port %d is taken by another program: %w", want.Port, err)
	case errors.Is(err, unix.EALREADY):
		return fmt.Errorf("it is there already: plan again: %w", err)
	}
	return err
}

// describeFOU is the body of a request to add a port: as it was where it has
// been read before, else from its attributes.
func (n *Network) describeFOU(f state.FOU) ([]byte, error) {
	var b []byte
	if was, ok := n.raw[f]; ok {
		each(was.message, unix.GENL_HDRLEN, func(kind uint16, value []byte) {
			if kind == fouProtocol && f.Protocol == "gue" || unset(value) && kind != fouNoPartial {
				return
			}
			b = put(b, kind, value)
		})
		return b, nil
	}
	b = put(b, fouPort, binary.BigEndian.AppendUint16(nil, f.Port))
	switch f.Family {
	case "ipv4":
		b = put(b, fouFamily, []byte{unix.AF_INET})
	case "ipv6":
		b = put(b, fouFamily, []byte{unix.AF_INET6})
	default:
		return nil, fmt.Errorf("family %q is neither ipv4 nor ipv6", f.Family)
	}
	if f.Protocol == "gue" {
		return put(b, fouType, []byte{fouGUE}), nil
	}
	for number, name := range fouProtocols {
		if name == f.Protocol {
			b = put(b, fouType, []byte{fouDirect})
			return put(b, fouProtocol, []byte{number}), nil
		}
	}
	return nil, fmt.Errorf("protocol %q is none of gue, ipip, ipv6, gre", f.Protocol)
}

func (n *Network) deleteFOU(f state.FOU) error {
	if there, known := module.Running(fouModule); known && !there {
		return nil
	}
	body, err := n.describeFOU(f)
	if err != nil {
		return err
	}
	if _, err = fouRequest(fouDel, unix.NLM_F_ACK, body); gone(err) {
		return nil
	}
	return err
}

// fouRequest speaks to the generic netlink family fou, which must be loaded.
func fouRequest(command uint8, flags int, body []byte) ([][]byte, error) {
	answer, err := generic(unix.GENL_ID_CTRL, unix.CTRL_CMD_GETFAMILY, 0, putString(nil, unix.CTRL_ATTR_FAMILY_NAME, fouModule))
	if err == nil && len(answer) == 0 {
		err = unix.ENOENT
	}
	if err != nil {
		return nil, fmt.Errorf("find the kernel's interface fou: %w", err)
	}
	id := parse(answer[0], unix.GENL_HDRLEN)[unix.CTRL_ATTR_FAMILY_ID]
	if len(id) < 2 {
		return nil, errors.New("find the kernel's interface fou: the answer has no number")
	}
	return generic(native.Uint16(id), command, flags, body)
}

func generic(family uint16, command uint8, flags int, body []byte) ([][]byte, error) {
	return netlink.Ask(unix.NETLINK_GENERIC, family, flags, append([]byte{command, 1, 0, 0}, body...))
}
