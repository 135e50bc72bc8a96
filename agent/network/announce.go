//go:build linux

package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// announcements is how often an address is announced: a single frame may be
// lost.
const announcements = 3

// Announce tells the neighbours on the address's link that it is here now, by
// gratuitous ARP (RFC 5227) or an unsolicited neighbour advertisement (RFC
// 4861). A link that is down or has no neighbours is no error.
func (n *Network) Announce(a state.Address) error {
	live, err := find(a.Device)
	if err != nil {
		return err
	}
	if live == nil || !live.arp || !live.up || len(live.hardware) != 6 {
		return nil
	}
	mac := [6]byte(live.hardware)
	frames := [][]byte{arp(mac, a.IP.Addr(), 1), arp(mac, a.IP.Addr(), 2)}
	if a.IP.Addr().Is6() {
		frames = [][]byte{advertisement(mac, a.IP.Addr())}
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a packet socket: %w", err)
	}
	defer unix.Close(fd)
	to := &unix.SockaddrLinklayer{Ifindex: live.index}
	for range announcements {
		for _, frame := range frames {
			err := unix.Sendto(fd, frame, 0, to)
			if errors.Is(err, unix.ENETDOWN) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENOBUFS) {
				continue
			}
			if err != nil {
				return fmt.Errorf("send on %s: %w", a.Device, err)
			}
		}
	}
	return nil
}

// ethernet is a frame's header.
func ethernet(to, from [6]byte, protocol uint16) []byte {
	b := append(append([]byte(nil), to[:]...), from[:]...)
	return binary.BigEndian.AppendUint16(b, protocol)
}

// arp is an announcement as a request (1) or as a reply (2): some systems
// listen to one of them only.
func arp(mac [6]byte, ip netip.Addr, operation uint16) []byte {
	if !ip.Is4() {
		return nil
	}
	everybody := [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	b := ethernet(everybody, mac, unix.ETH_P_ARP)
	b = append(b, 0, 1, 8, 0, 6, 4) // Ethernet, IPv4, their lengths
	b = binary.BigEndian.AppendUint16(b, operation)
	b = append(append(b, mac[:]...), ip.AsSlice()...)
	target := [6]byte{}
	if operation == 2 {
		target = everybody
	}
	return append(append(b, target[:]...), ip.AsSlice()...)
}

// advertisement goes to all nodes and overrides what they know.
func advertisement(mac [6]byte, ip netip.Addr) []byte {
	const nextHeader, hops, override = unix.IPPROTO_ICMPV6, 255, 0x20
	all := netip.MustParseAddr("ff02::1")
	icmp := []byte{136, 0, 0, 0, override, 0, 0, 0}
	icmp = append(icmp, ip.AsSlice()...)
	icmp = append(append(icmp, 2, 1), mac[:]...) // target link-layer address
	binary.BigEndian.PutUint16(icmp[2:], checksum(ip, all, icmp))

	b := ethernet([6]byte{0x33, 0x33, 0, 0, 0, 1}, mac, unix.ETH_P_IPV6)
	b = append(b, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(icmp)))
	b = append(b, nextHeader, hops)
	b = append(append(b, ip.AsSlice()...), all.AsSlice()...)
	return append(b, icmp...)
}

// checksum is that of ICMPv6 (RFC 4443), over the pseudo header and a message
// of even length.
func checksum(from, to netip.Addr, message []byte) uint16 {
	pseudo := append(from.AsSlice(), to.AsSlice()...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(message)))
	pseudo = append(pseudo, 0, 0, 0, unix.IPPROTO_ICMPV6)
	sum := uint32(0)
	for b := append(pseudo, message...); len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
