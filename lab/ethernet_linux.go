package lab

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// plug makes a wire to the switch, and returns its far end, which is the
// caller's to close.
func (e *ethernet) plug() (*port, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	near, far := os.NewFile(uintptr(pair[0]), "wire"), os.NewFile(uintptr(pair[1]), "wire")
	defer near.Close()
	wire, err := net.FileConn(near) // a copy that the runtime can wait for
	if err != nil {
		far.Close()
		return nil, nil, err
	}
	return e.add(wire), far, nil
}
