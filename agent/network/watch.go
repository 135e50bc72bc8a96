//go:build linux

package network

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// watched are the multicast groups of linux/rtnetlink.h that tell of links,
// addresses, routes, rules, and of forwarding and rp_filter.
var watched = []uint32{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV4_NETCONF,
	unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_IPV6_NETCONF,
}

// Watch sends on the channel soon after each change of the network, many
// changes together, until the returned function is called. What changes after
// Watch has returned is not missed. The channel is closed when the kernel tells
// no more.
func Watch() (changed <-chan struct{}, stop func(), err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, nil, fmt.Errorf("watch the network: %w", err)
	}
	groups := uint32(0)
	for _, group := range watched {
		groups |= 1 << (group - 1)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		_ = unix.Close(fd)
		return nil, nil, fmt.Errorf("watch the network: %w", err)
	}
	socket := os.NewFile(uintptr(fd), "netlink")
	out := make(chan struct{}, 1)
	go func() {
		defer close(out)
		// What the messages say does not matter: the host is read again.
		message := make([]byte, 64)
		for {
			_, err := socket.Read(message)
			// More changes than the kernel keeps are changes too.
			if err != nil && (errors.Is(err, fs.ErrClosed) || !errors.Is(err, unix.ENOBUFS)) {
				return
			}
			select {
			case out <- struct{}{}:
			default: // the last one has not been looked at yet
			}
		}
	}()
	return out, func() { _ = socket.Close() }, nil
}
