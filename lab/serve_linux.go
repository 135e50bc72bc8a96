package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// serve answers with the host's name, on every address of the host: a VIP that
// comes later, too. The sockets are the host's, the work is done out here.
func (h *host) serve(network string, port uint16) error {
	key := serveKey(network, port)
	h.mu.Lock()
	_, already := h.servers[key]
	h.mu.Unlock()
	if already {
		return nil
	}
	if err := h.network(func() error { return h.listen(network, port) }); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.remember()
}

func serveKey(network string, port uint16) string { return fmt.Sprintf("%s/%d", network, port) }

func (h *host) listen(network string, port uint16) error {
	switch key := serveKey(network, port); network {
	case "tcp":
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		h.keep(key, l)
		go h.acceptAll(l)
		return nil
	case "udp":
		return h.serveUDP(key, port)
	case "sctp":
		l, err := listenSCTP(port)
		if err != nil {
			return err
		}
		h.keep(key, l)
		go h.acceptAll(l)
		return nil
	}
	return fmt.Errorf("the lab serves tcp, udp and sctp, not %q", network)
}

// servedFile is where a machine of its own keeps what it serves: a line each.
const servedFile = "/etc/lvsform-lab/served"

// remember writes what is served so that it is there after a reset. The caller
// holds h.mu.
func (h *host) remember() error {
	if h.ns != nil || h.name == "" {
		return nil
	}
	f, err := os.Create(servedFile)
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(h.servers)) {
		fmt.Fprintln(f, key)
	}
	return errors.Join(f.Sync(), f.Close())
}

// serveAgain serves what was served before the reset.
func (h *host) serveAgain() error {
	text, err := os.ReadFile(servedFile)
	if errors.Is(err, os.ErrNotExist) || h.name == "" {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		network, port, _ := strings.Cut(strings.TrimSpace(line), "/")
		n, e := strconv.ParseUint(port, 10, 16)
		if err = errors.Join(err, e); err == nil {
			err = h.network(func() error { return h.listen(network, uint16(n)) })
		}
	}
	return err
}

func (h *host) unserve(network string, port uint16) error {
	key := serveKey(network, port)
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.servers[key]
	if s == nil {
		return fmt.Errorf("%s does not serve %s", h.name, key)
	}
	delete(h.servers, key)
	return errors.Join(s.Close(), h.remember())
}

func (h *host) acceptAll(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go h.talk(conn)
	}
}

// talk answers HTTP GETs with the host's name and closes; any other line is
// answered with the name and the line, as often as one comes.
func (h *host) talk(conn net.Conn) {
	defer conn.Close()
	for r := bufio.NewReader(conn); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if !strings.HasPrefix(line, "GET ") {
			if _, err := fmt.Fprintf(conn, "%s %s", h.name, line); err != nil {
				return
			}
			continue
		}
		for strings.TrimSpace(line) != "" {
			if line, err = r.ReadString('\n'); err != nil {
				return
			}
		}
		fmt.Fprintf(conn, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s\n",
			len(h.name)+1, h.name)
		return
	}
}

// serveUDP answers from the address that a datagram was sent to: a reply from
// another one would not reach the client.
func (h *host) serveUDP(key string, port uint16) error {
	pc, err := net.ListenPacket("udp4", fmt.Sprintf(":%d", port))
	if err != nil {
		return err
	}
	conn := pc.(*net.UDPConn)
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	if err := raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1) }); err != nil || set != nil {
		return errors.Join(err, set, conn.Close())
	}
	h.keep(key, conn)
	go func() {
		data, control := make([]byte, 2048), make([]byte, 256)
		for {
			_, oobn, _, from, err := conn.ReadMsgUDPAddrPort(data, control)
			if err != nil {
				return
			}
			_, _, _ = conn.WriteMsgUDPAddrPort([]byte(h.name+"\n"), replySource(control[:oobn]), from)
		}
	}()
	return nil
}

// replySource turns the packet information of a datagram (struct in_pktinfo:
// interface, local address, destination) into that of its answer: the same
// source, whichever interface.
func replySource(control []byte) []byte {
	const header, interfaceIndex = unix.SizeofCmsghdr, 4
	if len(control) < header+unix.SizeofInet4Pktinfo {
		return nil
	}
	clear(control[header : header+interfaceIndex])
	return control
}

const defaultRequestTimeout = 3 * time.Second

// request sends the requests; one that fails is counted and not repeated.
func (h *host) request(ctx context.Context, r Requests) (Answers, error) {
	if r.Timeout == 0 {
		r.Timeout = defaultRequestTimeout
	}
	var a Answers
	err := h.network(func() error {
		for range r.Count {
			if err := ctx.Err(); err != nil {
				return err
			}
			who, err := ask(ctx, r)
			if err != nil {
				a.Failures = append(a.Failures, err.Error())
			}
			a.By = append(a.By, who)
		}
		return nil
	})
	return a, err
}

// ask makes one connection and reads the answer: the calling thread's network
// namespace is the one that it is made in.
func ask(ctx context.Context, r Requests) (string, error) {
	conn, err := connect(ctx, r)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(r.Timeout)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return "", err
	}
	if r.Network == "udp" {
		answer := make([]byte, 2048)
		n, err := conn.Read(answer)
		return strings.TrimSpace(string(answer[:n])), err
	}
	answer, err := io.ReadAll(io.LimitReader(conn, 1<<16))
	if err != nil {
		return "", err
	}
	_, body, found := strings.Cut(string(answer), "\r\n\r\n")
	if !found {
		return "", fmt.Errorf("%s answered without a name: %q", r.Target, answer)
	}
	return strings.TrimSpace(body), nil
}

func connect(ctx context.Context, r Requests) (net.Conn, error) {
	if r.Network == "sctp" {
		return dialSCTP(r)
	}
	d := net.Dialer{Timeout: r.Timeout}
	if r.Source.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: r.Source.AsSlice()}
		if r.Network == "udp" {
			d.LocalAddr = &net.UDPAddr{IP: r.Source.AsSlice()}
		}
	}
	return d.DialContext(ctx, r.Network, r.Target)
}

// dial makes the control connection one that starts at the host.
func (s *guestServer) dial(ctx context.Context, r request, conn net.Conn, rest io.Reader, out *events) {
	h, err := s.host(r.Lab, r.Host)
	var far net.Conn
	if err == nil {
		err = h.network(func() (err error) {
			d := net.Dialer{Timeout: defaultRequestTimeout}
			far, err = d.DialContext(ctx, r.Network, r.Target)
			return err
		})
	}
	if err != nil {
		out.send(event{Error: err.Error(), Done: true})
		return
	}
	defer far.Close()
	out.send(event{Done: true})
	go func() {
		_, _ = io.Copy(far, rest)
		if half, ok := far.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
	}()
	_, _ = io.Copy(conn, far)
}
