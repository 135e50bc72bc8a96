//go:build linux

package network

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// Of linux/fib_rules.h.
const (
	ruleHeader  = 12 // struct fib_rule_hdr
	ruleInvert  = 2
	actionTable = 1
	anyGroup    = 0xffffffff
)

func readRules(family uint8, add func(state.Object, []byte)) error {
	body := make([]byte, ruleHeader)
	body[0] = family
	messages, err := dump(unix.RTM_GETRULE, body)
	// A kernel without policy routing has no rules.
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, m := range messages {
		if len(m) >= ruleHeader && m[0] == family {
			add(parseRule(m), m)
		}
	}
	return nil
}

func parseRule(m []byte) state.Rule {
	a := parse(m, ruleHeader)
	r := state.Rule{
		Family: "ipv4", Priority: int(get32(a[unix.FRA_PRIORITY])),
		FWMark: get32(a[unix.FRA_FWMARK]), Table: int(m[4]), Other: otherSelectors(m, a),
	}
	if m[0] == unix.AF_INET6 {
		r.Family = "ipv6"
	}
	if t := a[unix.FRA_TABLE]; len(t) >= 4 {
		r.Table = int(get32(t))
	}
	if m[2] > 0 {
		r.From = prefixOf(m[0], a[unix.FRA_SRC], m[2])
	}
	if m[1] > 0 {
		r.To = prefixOf(m[0], a[unix.FRA_DST], m[1])
	}
	return r
}

// otherSelectors describes what state.Rule has no attributes for.
func otherSelectors(m []byte, a attributes) string {
	var words []string
	if native.Uint32(m[8:])&ruleInvert != 0 {
		words = append(words, "not")
	}
	if m[3] != 0 {
		words = append(words, "tos="+strconv.Itoa(int(m[3])))
	}
	for kind, value := range a {
		if value == nil {
			continue
		}
		switch kind {
		case unix.FRA_DST, unix.FRA_SRC, unix.FRA_PRIORITY, unix.FRA_FWMARK, unix.FRA_TABLE, unix.FRA_PROTOCOL, unix.FRA_PAD:
		case unix.FRA_FWMASK:
			if mask := get32(value); mask != 0xffffffff {
				words = append(words, fmt.Sprintf("fwmask=%#x", mask))
			}
		case unix.FRA_SUPPRESS_PREFIXLEN, unix.FRA_SUPPRESS_IFGROUP:
			if n := get32(value); n != anyGroup {
				words = append(words, ruleAttribute(kind)+"="+strconv.Itoa(int(n)))
			}
		case unix.FRA_IIFNAME, unix.FRA_OIFNAME:
			words = append(words, ruleAttribute(kind)+"="+getString(value))
		default:
			words = append(words, ruleAttribute(kind)+"="+hex.EncodeToString(value))
		}
	}
	if m[7] != actionTable {
		words = append(words, "action="+strconv.Itoa(int(m[7])))
	}
	return strings.Join(words, " ")
}

func ruleAttribute(kind int) string {
	switch kind {
	case unix.FRA_IIFNAME:
		return "iif"
	case unix.FRA_OIFNAME:
		return "oif"
	case unix.FRA_GOTO:
		return "goto"
	case unix.FRA_SUPPRESS_PREFIXLEN:
		return "suppress_prefixlength"
	case unix.FRA_SUPPRESS_IFGROUP:
		return "suppress_ifgroup"
	case unix.FRA_UID_RANGE:
		return "uidrange"
	case unix.FRA_IP_PROTO:
		return "ipproto"
	case unix.FRA_SPORT_RANGE:
		return "sport"
	case unix.FRA_DPORT_RANGE:
		return "dport"
	case unix.FRA_L3MDEV:
		return "l3mdev"
	}
	return "attribute" + strconv.Itoa(kind)
}

func (n *Network) changeRule(c state.Change) error {
	if c.Before != nil && c.After != nil {
		return errors.New("a rule has nothing that could be changed in place")
	}
	if c.After == nil {
		body, err := n.describeRule(c.Before.(state.Rule))
		if err != nil {
			return err
		}
		err = send(unix.RTM_DELRULE, 0, body)
		if gone(err) {
			return nil
		}
		return err
	}
	body, err := n.describeRule(c.After.(state.Rule))
	if err != nil {
		return err
	}
	return send(unix.RTM_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, body)
}

// describeRule is the message for a rule: as the kernel had it where it has
// been read before, else from its attributes.
func (n *Network) describeRule(r state.Rule) ([]byte, error) {
	if was, ok := n.raw[r]; ok {
		body := append([]byte(nil), was.message...)
		native.PutUint32(body[8:], native.Uint32(body[8:])&ruleInvert)
		return body, nil
	}
	if r.Other != "" {
		return nil, fmt.Errorf("a rule with %s can only be put back", r.Other)
	}
	body := make([]byte, ruleHeader)
	switch r.Family {
	case "ipv4":
		body[0] = unix.AF_INET
	case "ipv6":
		body[0] = unix.AF_INET6
	default:
		return nil, fmt.Errorf("rule of family %q: want ipv4 or ipv6", r.Family)
	}
	body[7] = actionTable
	if r.Table < 256 {
		body[4] = byte(r.Table)
	}
	if r.From.IsValid() {
		body[2] = byte(r.From.Bits())
		body = put(body, unix.FRA_SRC, r.From.Addr().AsSlice())
	}
	if r.To.IsValid() {
		body[1] = byte(r.To.Bits())
		body = put(body, unix.FRA_DST, r.To.Addr().AsSlice())
	}
	body = put32(body, unix.FRA_PRIORITY, uint32(r.Priority))
	if r.FWMark != 0 {
		body = put32(body, unix.FRA_FWMARK, r.FWMark)
	}
	body = put32(body, unix.FRA_TABLE, uint32(r.Table))
	return put(body, unix.FRA_PROTOCOL, []byte{unix.RTPROT_STATIC}), nil
}
