package planner

import (
	"strings"

	"github.com/lvsform/lvsform/state"
)

// reasons say why a change has its place in the order: that of its wave, and
// that within its host's transaction.
func (c Change) reasons() []string {
	out := []string{c.Wave.reason()}
	if why := c.withinHost(); why != "" {
		out = append(out, why)
	}
	return out
}

// reason is why a wave comes when it does, as docs/how-it-works.md has it.
func (w Wave) reason() string {
	name, err := w.MarshalText()
	if err != nil {
		return w.String()
	}
	switch string(name) {
	case "gateways":
		return "a director that real servers use as their gateway comes first: without it they could not answer, not even lvsform"
	case "servers_add":
		return "real servers are made ready, and looked at, before any director sends them traffic"
	case "directors_add":
		return "a director sends traffic only to real servers whose own changes have succeeded; its VIP comes last"
	case "servers_move":
		return "real servers change their way of answering one at a time, so that the others serve meanwhile"
	case "directors_drain":
		return "what is to go gets no new connections first, so that the ones it has can end"
	case "directors_remove":
		return "directors stop sending traffic before a real server loses what it needs to answer"
	case "servers_clean":
		return "a real server is cleaned when no director sends to it any more"
	case "gateways_clean":
		return "a gateway goes last: real servers answer through it until they have their own again"
	}
	return w.String()
}

// withinHost is why a change comes early or late among those of its host.
func (c Change) withinHost() string {
	o := either(c)
	if c.removal() {
		switch o := o.(type) {
		case state.Address:
			return "on its host an address goes before the rest, so that no more requests come"
		case state.Sysctl:
			if strings.Contains(o.Name, ".arp_") {
				return "on its host sysctls go last, so that no ARP question about the VIP is answered while it is there"
			}
		}
		return ""
	}
	switch o := o.(type) {
	case state.Package:
		return "on its host packages come first: services and modules may come with them"
	case state.Module:
		return "on its host modules come before what needs them: links, sysctls and tables"
	case state.Link:
		return "on its host a link comes before its sysctls and addresses"
	case state.Sysctl:
		if o.Name == "net.ipv4.ip_forward" || o.Name == "net.ipv6.conf.all.forwarding" {
			return "on its host it comes before other sysctls, because writing it resets some of them"
		}
		if strings.Contains(o.Name, ".arp_") {
			return "on its host it comes before the VIP, so that no ARP question about the VIP is ever answered"
		}
	case state.Address:
		if c.Wave == WaveDirectorsAdd {
			return "on a director the VIP comes after the table, so that the first request finds a service"
		}
		return "on its host addresses come after sysctls and before the routes that use them"
	case state.Route:
		return "on its host routes come after the links and addresses that they use"
	case state.Config:
		return "on its host a configuration comes after what it speaks of, and before its program starts"
	case state.Service:
		return "on its host a service comes before its real servers"
	case state.Destination:
		return "on its host a real server comes after its service"
	}
	return ""
}
