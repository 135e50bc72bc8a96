package lab

import (
	"bufio"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// runDir is the guest's own directory; init.sh names it, too.
const runDir = "/run/lvsform-lab"

// guestServer is the machine's side of the control channel.
type guestServer struct {
	token string
	self  *host // the machine, without namespaces
	mu    sync.Mutex
	labs  map[int]*cluster
}

// RunGuest serves the control channel. It returns when ctx is done, which in
// the machine is never.
func RunGuest(ctx context.Context) error {
	raw, err := os.ReadFile(runDir + "/boot.json")
	if err != nil {
		return fmt.Errorf("this runs inside the lab's machine only: %w", err)
	}
	var config bootConfig
	if err := json.Unmarshal(raw, &config); err != nil {
		return err
	}
	if config.Machine == "" { // else systemd does it
		if err := networkUp(); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp4", fmt.Sprintf("%s:%d", guestAddress, config.Control))
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	os.Setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	fmt.Println(readyLine)
	s := &guestServer{token: config.Token, self: &host{name: config.Machine}, labs: map[int]*cluster{}}
	if err := s.self.serveAgain(); err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go s.serve(ctx, conn)
	}
}

// networkUp gives the machine the address that the control channel and the SSH
// ports are forwarded to.
func networkUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	nic, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	address, err := netlink.ParseAddr(guestAddress + "/24")
	if err != nil {
		return err
	}
	return errors.Join(netlink.LinkSetUp(lo), netlink.AddrAdd(nic, address), netlink.LinkSetUp(nic))
}

// serve answers one connection.
func (s *guestServer) serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	line, err := reader.ReadBytes('\n')
	if err != nil {
		return
	}
	var r request
	if json.Unmarshal(line, &r) != nil || subtle.ConstantTimeCompare([]byte(r.Token), []byte(s.token)) != 1 {
		return
	}
	out := &events{enc: json.NewEncoder(conn)}
	if r.Op == opDial {
		s.dial(ctx, r, conn, reader, out)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // nothing more is sent: a read ends when the other side has gone
		_, _ = reader.ReadByte()
		cancel()
	}()
	last, err := s.do(ctx, r, out)
	if err != nil {
		last.Error = err.Error()
	}
	last.Done = true
	out.send(last)
}

// events writes lines; several writers may share it.
type events struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func (e *events) send(v event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.enc.Encode(v) // the other side may have gone; serve notices
}

type eventWriter func([]byte) event

// writer makes a stream of events.
func (e *events) writer(wrap eventWriter) io.Writer { return &stream{e, wrap} }

type stream struct {
	to   *events
	wrap eventWriter
}

func (s *stream) Write(p []byte) (int, error) {
	s.to.send(s.wrap(p))
	return len(p), nil
}

func (s *guestServer) do(ctx context.Context, r request, out *events) (event, error) {
	switch r.Op {
	case opBuild:
		return event{}, s.build(ctx, r)
	case opDown:
		s.mu.Lock()
		c := s.labs[r.Lab]
		delete(s.labs, r.Lab)
		s.mu.Unlock()
		if c != nil {
			c.close()
		}
		return event{}, nil
	}
	h, err := s.host(r.Lab, r.Host)
	if err != nil {
		return event{}, err
	}
	switch r.Op {
	case opExec:
		code, err := h.exec(ctx, r, out)
		return event{Code: code}, err
	case opServe:
		return event{}, h.serve(r.Network, r.Port)
	case opUnserve:
		return event{}, h.unserve(r.Network, r.Port)
	case opRequest:
		a, err := h.request(ctx, *r.Load)
		return event{Answer: &a}, err
	case opLoad:
		a, err := h.load(ctx, *r.Keep, func(a Loaded) { out.send(event{Loaded: &a}) })
		return event{Loaded: &a}, err
	}
	return event{}, fmt.Errorf("no such request: %q", r.Op)
}

func (s *guestServer) build(ctx context.Context, r request) error {
	c, err := newCluster(ctx, r.Lab, *r.Build)
	if err != nil {
		c.close()
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.labs[r.Lab] = c
	return nil
}

// host finds a host, or the machine itself.
func (s *guestServer) host(lab int, name string) (*host, error) {
	if lab == 0 {
		return s.self, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.labs[lab]; c != nil && c.hosts[name] != nil {
		return c.hosts[name], nil
	}
	return nil, fmt.Errorf("no host %q", name)
}

// exec runs a command in the host's namespaces and streams what it says. The
// command and its children end when ctx does.
func (h *host) exec(ctx context.Context, r request, out *events) (int, error) {
	if len(r.Argv) == 0 {
		return 0, errors.New("no command")
	}
	var cmd *exec.Cmd
	err := h.inside(func() error {
		cmd = exec.Command(r.Argv[0], r.Argv[1:]...)
		cmd.Env = environment()
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Stdin = newInput(r.Stdin)
		cmd.Stdout = out.writer(func(b []byte) event { return event{Out: b} })
		cmd.Stderr = out.writer(func(b []byte) event { return event{Err: b} })
		cmd.WaitDelay = time.Second // a daemon may keep the pipes
		return cmd.Start()
	})
	if err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) })
	defer stop()
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) || errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	return cmd.ProcessState.ExitCode(), err
}

func environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=/root", "LC_ALL=C", "TERM=dumb"}
}
