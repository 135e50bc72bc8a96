//go:build linux && kernel

package soak

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// watch asks from the client who has the VIP, again and again until the test
// ends, and fails it when anybody but the director says so.
func (s *scene) watch() {
	w := &arpWatch{macs: map[string]bool{}, stop: make(chan struct{}), ready: make(chan error, 1)}
	var ended sync.WaitGroup
	ended.Go(func() { w.run(s.client) })
	if err := <-w.ready; err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		close(w.stop)
		ended.Wait()
		director := ""
		for i, h := range s.topology.Hosts {
			if h.Name == "dir1" {
				director = mac(i + 2).String()
			}
		}
		delete(w.macs, director)
		if len(w.macs) > 0 {
			s.Errorf("others than the director said that they have the VIP: %v", w.macs)
		}
		if w.asked == 0 {
			s.Error("nobody was asked for the VIP")
		}
	})
}

type arpWatch struct {
	macs  map[string]bool
	asked int
	stop  chan struct{}
	ready chan error
}

const arpPause = 50 * time.Millisecond

func (w *arpWatch) run(namespace string) {
	runtime.LockOSThread() // never unlocked: the thread ends with it
	socket, index, err := packetSocket(namespace)
	w.ready <- err
	if err != nil {
		return
	}
	defer unix.Close(socket)
	to := &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ARP), Ifindex: index, Halen: 6, Addr: [8]byte{255, 255, 255, 255, 255, 255}}
	for buffer := make([]byte, 2048); ; {
		select {
		case <-w.stop:
			return
		default:
		}
		if unix.Sendto(socket, request(), 0, to) == nil {
			w.asked++
		}
		for end := time.Now().Add(arpPause); time.Now().Before(end); {
			n, _, err := unix.Recvfrom(socket, buffer, 0) // waits for arpPause
			if err == nil && n >= 28 && bytes.Equal(buffer[14:18], vip.AsSlice()) {
				w.macs[net.HardwareAddr(buffer[8:14]).String()] = true
			}
			if err != nil && !errors.Is(err, unix.EINTR) {
				break
			}
		}
	}
}

// packetSocket hears and sends ARP on a namespace's eth0.
func packetSocket(namespace string) (socket, index int, err error) {
	ns, err := os.Open("/run/netns/" + namespace)
	if err != nil {
		return 0, 0, err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return 0, 0, fmt.Errorf("enter %s: %w", namespace, err)
	}
	nic, err := net.InterfaceByName("eth0")
	if err != nil {
		return 0, 0, err
	}
	socket, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ARP)))
	if err != nil {
		return 0, 0, err
	}
	patience := unix.NsecToTimeval(arpPause.Nanoseconds())
	return socket, nic.Index, unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience)
}

// request asks who has the VIP, as the client.
func request() []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, 1} // Ethernet, IPv4, their lengths, a request
	b = append(append(b, mac(1)...), 172, 18, 20, 1)
	return append(append(b, 0, 0, 0, 0, 0, 0), vip.AsSlice()...)
}

func htons(v uint16) uint16 { return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v)) }
