package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
)

func bridgeName(network int) string { return fmt.Sprintf("net%d", network) }

// addBridges makes one bridge a network. They have no addresses of their own.
func (n *namespaces) addBridges(count int) error {
	return n.network(func() error {
		// Without IPv6 the bridges say nothing themselves.
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0o644); err != nil {
			return err
		}
		for i := range count {
			off := false
			b := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridgeName(i)}, MulticastSnooping: &off}
			if err := netlink.LinkAdd(b); err != nil {
				return err
			}
			if err := netlink.LinkSetUp(b); err != nil {
				return err
			}
		}
		return nil
	})
}

// uplinkName is a NIC of the machine; eth0 is the control channel's.
func uplinkName(network int) string { return fmt.Sprintf("eth%d", network+1) }

// addUplinks puts a NIC of the machine on each bridge.
func (n *namespaces) addUplinks(count int) error {
	for i := range count {
		name := uplinkName(i)
		nic, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("the machine's NIC %s, which another lab of machines may have: %w", name, err)
		}
		if err := netlink.LinkSetNsFd(nic, int(n.net.Fd())); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := n.network(func() error {
			bridge, err := netlink.LinkByName(bridgeName(i))
			if err != nil {
				return err
			}
			nic, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			return errors.Join(netlink.LinkSetMaster(nic, bridge), netlink.LinkSetUp(nic))
		}); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// removeUplinks gives the NICs back: the end of a namespace would too, but not at
// a time that anybody can wait for.
func (n *namespaces) removeUplinks(count int) error {
	return n.network(func() error {
		for i := range count {
			nic, err := netlink.LinkByName(uplinkName(i))
			if errors.As(err, &netlink.LinkNotFoundError{}) {
				continue // the lab did not get so far
			}
			if err != nil {
				return err
			}
			if err := netlink.LinkSetNsPid(nic, 1); err != nil {
				return fmt.Errorf("give %s back: %w", uplinkName(i), err)
			}
		}
		return nil
	})
}

// plug makes the host's interfaces, the far ends of which are on the bridges.
func (h *host) plug(wires *namespaces, index int, interfaces []Interface) error {
	return wires.network(func() error {
		for i, nic := range interfaces {
			bridge, err := netlink.LinkByName(bridgeName(nic.Network))
			if err != nil {
				return err
			}
			attributes := netlink.LinkAttrs{Name: fmt.Sprintf("h%dn%d", index, i), MasterIndex: bridge.Attrs().Index, MTU: 1500}
			veth := &netlink.Veth{LinkAttrs: attributes, PeerName: nic.Name, PeerNamespace: netlink.NsFd(int(h.ns.net.Fd()))}
			if err := netlink.LinkAdd(veth); err != nil {
				return fmt.Errorf("interface %s: %w", nic.Name, err)
			}
			if err := netlink.LinkSetUp(veth); err != nil {
				return fmt.Errorf("interface %s: %w", nic.Name, err)
			}
		}
		return nil
	})
}

// configure gives the host's interfaces their addresses and gateways.
func (h *host) configure(ctx context.Context, spec Host) error {
	return h.ns.network(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return err
		}
		for _, nic := range spec.Interfaces {
			if err := addAddresses(nic); err != nil {
				return fmt.Errorf("interface %s: %w", nic.Name, err)
			}
		}
		for _, g := range spec.Gateways {
			_, everything, _ := net.ParseCIDR("0.0.0.0/0")
			if g.Is6() {
				_, everything, _ = net.ParseCIDR("::/0")
			}
			if err := netlink.RouteAdd(&netlink.Route{Dst: everything, Gw: g.AsSlice()}); err != nil {
				return fmt.Errorf("gateway %s: %w", g, err)
			}
		}
		if err := settle(ctx, spec.Interfaces); err != nil {
			return err
		}
		if spec.Forward {
			return errors.Join(writeSysctl("ipv4/ip_forward", "1"), writeSysctl("ipv6/conf/all/forwarding", "1"))
		}
		return nil
	})
}

func writeSysctl(path, value string) error {
	return os.WriteFile("/proc/sys/net/"+path, []byte(value), 0o644)
}

// addAddresses brings an interface up. Duplicate address detection, which takes
// seconds, is off while it does; settle puts it back.
func addAddresses(nic Interface) error {
	if err := writeSysctl("ipv6/conf/"+nic.Name+"/accept_dad", "0"); err != nil {
		return err
	}
	link, err := netlink.LinkByName(nic.Name)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	for _, p := range nic.Addresses {
		if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(p)}); err != nil {
			return fmt.Errorf("address %s: %w", p, err)
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// settle waits until every interface has its link-local address and none is
// tentative: from then on the host does not change by itself.
func settle(ctx context.Context, interfaces []Interface) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		settled, err := settledInterfaces()
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(interfaces, func(i Interface) bool { return !settled[i.Name] }) {
			break
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the IPv6 addresses do not settle: %w", ctx.Err())
		}
	}
	for _, nic := range interfaces {
		if err := writeSysctl("ipv6/conf/"+nic.Name+"/accept_dad", "1"); err != nil {
			return err
		}
	}
	return nil
}

// settledInterfaces reads if_inet6: address, index, prefix length, scope,
// flags, name. Flag 0x40 is "tentative", scope 20 "link".
func settledInterfaces() (map[string]bool, error) {
	f, err := os.Open("/proc/thread-self/net/if_inet6")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	settled, tentative := map[string]bool{}, map[string]bool{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) != 6 {
			continue
		}
		if fields[3] == "20" {
			settled[fields[5]] = true
		}
		if strings.ContainsAny(fields[4][:1], "4567cdef") {
			tentative[fields[5]] = true
		}
	}
	for name := range tentative {
		delete(settled, name)
	}
	return settled, nil
}
