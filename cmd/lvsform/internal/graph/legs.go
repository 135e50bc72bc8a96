package graph

import (
	"fmt"
	"slices"
	"strings"
)

// legs is the way of a flow's packets, with what happens on it. CIP is the
// client's address.
func legs(f Flow) []Leg {
	first := Leg{From: Clients, To: Directors, Packet: "CIP → VIP", Caption: "The client sends to the VIP, which " + holders(f.Directors) + "."}
	straight := Leg{From: Servers, To: Clients, Packet: "VIP → CIP"}
	back := Leg{From: Directors, To: Clients, Packet: "VIP → CIP",
		Caption: "The director puts the VIP back as the source: the client sees one address."}
	switch f.Mode {
	case DR:
		straight.Caption = "The real server holds the VIP too and answers straight to the client" + by(f.Servers) + "."
		return []Leg{first, {From: Directors, To: Servers, Packet: "CIP → VIP",
			Caption: "The director hands the packet on as it is, only with the MAC address of the chosen real server."}, straight}
	case TUN:
		straight.Caption = "The real server unwraps it, holds the VIP too, and answers straight to the client" + by(f.Servers) + "."
		return []Leg{first, {From: Directors, To: Servers, Packet: "DIP → RIP [CIP → VIP]", Tunnel: true,
			Caption: "The director wraps the packet in another one to the chosen real server, on whatever network it is" + wrapping(f.Servers) + "."}, straight}
	case NAT:
		return []Leg{first,
			{From: Directors, To: Servers, Packet: "CIP → RIP",
				Caption: "The director writes the address of the chosen real server over the VIP."},
			{From: Servers, To: Directors, Packet: "RIP → CIP",
				Caption: "The real server answers through the director, its gateway" + address(gateways(f.Servers)) + "."}, back}
	case FullNAT:
		return []Leg{first,
			{From: Directors, To: Servers, Packet: "DIP → RIP",
				Caption: "The director writes over both addresses: source NAT hides the client from the chosen real server."},
			{From: Servers, To: Directors, Packet: "RIP → DIP",
				Caption: "The real server answers the director, whichever gateway it has."},
			{From: Directors, To: Clients, Packet: "VIP → CIP",
				Caption: "The director undoes both translations: the client sees one address."}}
	}
	first.Caption += " There is no real server to send it to."
	return []Leg{first}
}

func holders(directors []Director) string {
	if len(directors) == 1 {
		return shortened(directors[0].Name, widest) + " holds"
	}
	return "one of the directors holds"
}

// by names the gateway that all servers have.
func by(servers []Server) string {
	if g := gateways(servers); len(g) == 1 {
		return " (other networks: by " + g[0] + ")"
	}
	return ""
}

func address(list []string) string {
	if len(list) == 1 {
		return " " + list[0]
	}
	return ""
}

// gateways are the different gateways of the servers, sorted; nil where one of
// them is not known.
func gateways(servers []Server) []string {
	var out []string
	for _, s := range servers {
		if s.gateway == "" {
			return nil
		}
		out = append(out, s.gateway)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// wrapping names the encapsulations that are not plain IP in IP.
func wrapping(servers []Server) string {
	kinds := map[string]bool{}
	for _, s := range servers {
		kind := "ipip"
		for _, n := range s.Notes {
			if k, _, _ := strings.Cut(n, " "); k == "gue" || k == "gre" {
				kind = k
			}
		}
		kinds[kind] = true
	}
	var out []string
	for _, k := range []string{"ipip", "gue", "gre"} {
		if kinds[k] {
			out = append(out, k)
		}
	}
	return fmt.Sprintf(" (%s)", strings.Join(out, ", "))
}
