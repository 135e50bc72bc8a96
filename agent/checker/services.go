//go:build linux

package checker

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// services are the virtual services that a part makes its program set up, as
// far as they are there whatever the checks say.
func services(program, text string) []state.ServiceID {
	if program == Ldirectord {
		return ldirectordServices(text)
	}
	return keepalivedServices(text)
}

// keepalivedServices reads `virtual_server ADDRESS PORT {` and `virtual_server
// fwmark N {`, with what their blocks say of the protocol. One with ha_suspend is
// there only while its address is.
func keepalivedServices(text string) (out []state.ServiceID) {
	depth := 0
	var id state.ServiceID
	ok := false
	for line := range strings.Lines(text) {
		words := wordsOf(line)
		for i, w := range words {
			switch {
			case w == "{":
				depth++
			case w == "}":
				if depth--; depth == 0 && ok {
					out, ok = append(out, id), false
				}
			case depth == 0 && w == "virtual_server" && i == 0:
				id, ok = keepalivedID(words[1:])
			case depth != 1 || !ok || i != 0 && words[i-1] != "{":
			case w == "protocol" && i+1 < len(words) && id.FWMark == 0:
				id.Protocol = strings.ToLower(words[i+1])
			case w == "ip_family" && i+1 < len(words) && id.FWMark != 0:
				id.Family = familyOf(words[i+1] == "inet6")
			case w == "ha_suspend":
				ok = false
			}
		}
	}
	return out
}

// floating are the addresses that keepalived has as a master.
func floating(program, text string) (out []netip.Addr) {
	if program != Keepalived {
		return nil
	}
	depth, at := 0, 0 // at is the depth of a list of addresses
	for line := range strings.Lines(text) {
		for i, w := range wordsOf(line) {
			switch {
			case w == "{":
				depth++
			case w == "}":
				if depth--; depth < at {
					at = 0
				}
			case depth == 1 && (w == "virtual_ipaddress" || w == "virtual_ipaddress_excluded"):
				at = 2
			case at > 0 && depth == at && i == 0:
				address, _, _ := strings.Cut(w, "/")
				if a, err := netip.ParseAddr(address); err == nil {
					out = append(out, a)
				}
			}
		}
	}
	return out
}

// wordsOf are the words of a line without its comment; braces are words, and
// what is quoted is one that is none of the grammar's.
func wordsOf(line string) []string {
	var clean strings.Builder
	quoted := false
	for _, r := range line {
		switch {
		case r == '"':
			quoted = !quoted
			clean.WriteByte('"')
		case quoted:
		case r == '#' || r == '!':
			return strings.Fields(clean.String())
		case r == '{' || r == '}':
			clean.WriteString(" " + string(r) + " ")
		default:
			clean.WriteRune(r)
		}
	}
	return strings.Fields(clean.String())
}

func keepalivedID(words []string) (id state.ServiceID, ok bool) {
	if len(words) < 2 {
		return id, false
	}
	if words[0] == "fwmark" {
		mark, err := strconv.ParseUint(words[1], 10, 32)
		return state.ServiceID{FWMark: uint32(mark), Family: familyOf(false)}, err == nil && mark > 0
	}
	address, err := netip.ParseAddr(words[0])
	if err != nil {
		return id, false
	}
	port := uint64(0)
	if words[1] != "{" {
		if port, err = strconv.ParseUint(words[1], 10, 16); err != nil {
			return id, false
		}
	}
	return state.ServiceID{Protocol: "tcp", Address: address, Port: uint16(port), Family: familyOf(address.Is6())}, true
}

// ldirectordServices reads `virtual=ADDRESS:PORT` and `virtual=MARK`, and the
// protocol in the lines indented below.
func ldirectordServices(text string) (out []state.ServiceID) {
	open := false
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		name, value = strings.TrimSpace(name), strings.Trim(strings.TrimSpace(value), `"`)
		indented := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
		switch {
		case indented && open && name == "protocol":
			if id := &out[len(out)-1]; id.FWMark == 0 && (value == "tcp" || value == "udp") {
				id.Protocol = value
			}
		case !indented && (name == "virtual" || name == "virtual6"):
			var id state.ServiceID
			if id, open = ldirectordID(value, name == "virtual6"); open {
				out = append(out, id)
			}
		case !indented && name != "" && name[0] != '#':
			open = false
		}
	}
	return out
}

func ldirectordID(value string, six bool) (id state.ServiceID, ok bool) {
	if mark, err := strconv.ParseUint(value, 10, 32); err == nil && mark > 0 {
		return state.ServiceID{FWMark: uint32(mark), Family: familyOf(six)}, true
	}
	at, err := netip.ParseAddrPort(value)
	return state.ServiceID{Protocol: "tcp", Address: at.Addr(), Port: at.Port(), Family: familyOf(at.Addr().Is6())}, err == nil
}

func familyOf(six bool) string {
	if six {
		return "ipv6"
	}
	return "ipv4"
}
