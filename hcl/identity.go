package hcl

import (
	"slices"
	"strings"

	"github.com/lvsform/lvsform/topology"
)

// identifying are the attributes that name a resource's kernel object: plans,
// ids and errors show them, so they cannot be kept secret.
func identifying(kind string) []string {
	switch kind {
	case "link":
		return []string{"name", "fou.port"}
	case "address":
		return []string{"ip", "device"}
	case "route":
		return []string{"to", "table", "metric", "device"}
	case "rule":
		return []string{"from", "to", "fwmark", "table", "priority"}
	case "mark":
		return []string{"protocol", "address", "ports"}
	case "masquerade":
		return []string{"vip", "protocol", "port", "to"}
	case "ipvs":
		return []string{"modules"}
	case "package":
		return []string{"names"}
	case "service":
		return []string{"name"}
	case "virtual_service":
		return []string{"protocol", "address", "port", "fwmark", "family"}
	}
	return nil
}

// secretIdentity reports sensitive values in attributes that plans have to show.
func (m *module) secretIdentity(kind string, mk *marks, sensitive []string) {
	for _, name := range sensitive {
		attribute := name
		if server, ok := strings.CutPrefix(name, "real_server."); ok {
			attribute = server[strings.LastIndex(server, ".")+1:]
			if strings.Contains(server, ".tunnel.") || attribute != "address" && attribute != "port" {
				continue
			}
		} else if !slices.Contains(identifying(kind), name) {
			continue
		}
		m.l.r.error(mk.ranges[name], "Sensitive "+attribute,
			"Plans name the object by its "+attribute+", so it cannot come from a sensitive value. Use nonsensitive() if it may be shown.")
	}
}

// secretText reports sensitive values that go into a checker's configuration:
// plans show all of it but the passwords.
func (m *module) secretText(body topology.Body, mk *marks, sensitive []string) {
	switch b := body.(type) {
	case *topology.VRRPInstance:
	case *topology.VirtualService:
		if b.Checker == "" {
			return
		}
	default:
		return
	}
	for _, name := range sensitive {
		if name == "authentication.password" {
			continue
		}
		attribute := name[strings.LastIndex(name, ".")+1:]
		m.l.r.error(mk.ranges[name], "Sensitive "+attribute,
			"Plans show what keepalived and ldirectord are told, passwords apart, so it cannot come from a sensitive value. Use nonsensitive() if it may be shown.")
	}
}
