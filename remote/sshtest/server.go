// Package sshtest is an SSH server inside the test's process.
package sshtest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Exec runs a command that a client asks for, and returns its exit status.
type Exec func(command string, stdin io.Reader, stdout, stderr io.Writer) int

// Config says how a server behaves. The zero value lets its own identity in as
// any user, and answers every command with 127.
type Config struct {
	Exec Exec
	// HostKey is the server's key, or certificate; nil: a new one.
	HostKey ssh.Signer
	// Authorized are keys (or certificates) let in beside the server's own
	// identity.
	Authorized []ssh.PublicKey
	// User is the only user let in; empty: any.
	User string
	// Address to listen on; empty: a free port of 127.0.0.1.
	Address string

	// Silent accepts connections and never says a word.
	Silent bool
	// Refuse closes connections as soon as they are accepted.
	Refuse bool
	// SilentExec accepts commands and neither runs nor answers them.
	SilentExec bool
	// Garbage is printed to stdout before every command's own output.
	Garbage string
	// CutAfter closes the connection after that many bytes of a command's
	// stdout; 0: never.
	CutAfter int

	// Raw has a connection to itself: no SSH is spoken but by it.
	Raw func(net.Conn)
	// Wrap puts something between the server and the client.
	Wrap func(net.Conn) net.Conn
	// SSH changes what the server offers and asks for.
	SSH func(*ssh.ServerConfig)
	// Socket serves what is forwarded to a socket; nil: nothing is.
	Socket func(path string, stream io.ReadWriter)
	// Connected runs beside the sessions of every connection that was let in.
	Connected func(ssh.Conn)
}

// Server is a running server, and the files that a client needs to reach it.
type Server struct {
	Host       string // address without the port
	Port       int
	Key        ssh.PublicKey // the host's
	Identity   string        // file of a private key that is let in
	KnownHosts string        // file that holds the host's key
	SSHConfig  string        // file for ssh -F that holds nothing

	config     Config
	authorized []ssh.PublicKey
	listener   net.Listener
	wait       sync.WaitGroup
	conns      atomic.Int64
	mu         sync.Mutex
	ssh        *ssh.ServerConfig
	open       map[net.Conn]bool
	frozen     chan struct{} // nil, or closed when the server goes on
	commands   []string
	closed     bool
}

// Start runs a server until the test ends.
func Start(t testing.TB, config Config) *Server {
	t.Helper()
	s := &Server{config: config, open: map[net.Conn]bool{}}
	if s.config.HostKey == nil {
		s.config.HostKey = NewKey(t)
	}
	address := config.Address
	if address == "" {
		address = "127.0.0.1:0"
	}
	var err error
	if s.listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	tcp := s.listener.Addr().(*net.TCPAddr)
	s.Host, s.Port, s.Key = tcp.IP.String(), tcp.Port, s.config.HostKey.PublicKey()
	s.writeFiles(t)
	s.wait.Go(s.accept)
	t.Cleanup(s.Close)
	return s
}

// NewKey makes a key.
func NewKey(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// writeFiles makes the client's files and the configuration that lets it in.
func (s *Server) writeFiles(t testing.TB) {
	t.Helper()
	dir := t.TempDir()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	s.Identity = write("identity", pem.EncodeToMemory(block))
	s.KnownHosts = write("known_hosts", []byte(s.KnownLine()+"\n"))
	s.SSHConfig = write("ssh_config", nil)
	s.authorized = append([]ssh.PublicKey{own}, s.config.Authorized...)
	s.ChangeHostKey(s.config.HostKey)
}

// Signer is the host key that the server began with.
func (s *Server) Signer() ssh.Signer { return s.config.HostKey }

// ChangeHostKey gives the connections that come from now on another host key.
func (s *Server) ChangeHostKey(key ssh.Signer) {
	offer := &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		return nil, s.authorize(c.User(), key, s.authorized)
	}}
	offer.AddHostKey(key)
	if s.config.SSH != nil {
		s.config.SSH(offer)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ssh = offer
}

func (s *Server) authorize(user string, key ssh.PublicKey, allowed []ssh.PublicKey) error {
	if s.config.User != "" && user != s.config.User {
		return fmt.Errorf("user %q is not let in", user)
	}
	for _, a := range allowed {
		if string(a.Marshal()) == string(key.Marshal()) {
			return nil
		}
	}
	return errors.New("the key is not authorized")
}

// KnownLine is the server's line for a known_hosts file.
func (s *Server) KnownLine() string {
	key := s.Key
	if cert, ok := key.(*ssh.Certificate); ok {
		key = cert.Key
	}
	return knownhosts.Line([]string{net.JoinHostPort(s.Host, strconv.Itoa(s.Port))}, key)
}

// Connections is how many connections were accepted so far.
func (s *Server) Connections() int { return int(s.conns.Load()) }

// Commands are the commands that were asked for so far, in order.
func (s *Server) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.commands...)
}

// Close ends the server and its connections.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.open {
		c.Close()
	}
	if s.frozen != nil {
		close(s.frozen)
		s.frozen = nil
	}
	s.mu.Unlock()
	s.listener.Close()
	s.wait.Wait()
}

// Freeze leaves what clients send unread from now on, and answers nothing: the
// far half of an open connection is gone.
func (s *Server) Freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = make(chan struct{})
}

// freezer is a connection that Freeze stops.
type freezer struct {
	net.Conn
	server *Server
}

func (f freezer) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	f.server.mu.Lock()
	frozen := f.server.frozen
	f.server.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
	return n, err
}

// Cut closes the connections that are open, and goes on to accept others.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		c.Close()
	}
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.conns.Add(1)
		if s.config.Refuse || !s.track(conn) {
			conn.Close()
			continue
		}
		s.wait.Go(func() {
			defer s.forget(conn)
			s.serve(conn)
		})
	}
}

func (s *Server) track(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[c] = true
	return !s.closed
}

func (s *Server) forget(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	c.Close()
}

func (s *Server) serve(conn net.Conn) {
	if s.config.Silent {
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	if s.config.Raw != nil {
		s.config.Raw(conn)
		return
	}
	s.mu.Lock()
	offer := s.ssh
	s.mu.Unlock()
	wrapped := net.Conn(freezer{conn, s})
	if s.config.Wrap != nil {
		wrapped = s.config.Wrap(wrapped)
	}
	c, channels, requests, err := ssh.NewServerConn(wrapped, offer)
	if err != nil {
		return
	}
	defer c.Close()
	if s.config.Connected != nil {
		go s.config.Connected(c)
	}
	go answerKeepalives(requests)
	for ch := range channels {
		switch ch.ChannelType() {
		case "session":
			go s.session(conn, ch)
		case "direct-tcpip":
			go forward(ch)
		case "direct-streamlocal@openssh.com":
			go s.socket(ch)
		default:
			_ = ch.Reject(ssh.UnknownChannelType, "not served")
		}
	}
}

// answerKeepalives refuses every global request, which answers a keepalive.
func answerKeepalives(requests <-chan *ssh.Request) {
	for r := range requests {
		if r.WantReply {
			_ = r.Reply(false, nil)
		}
	}
}

// session serves one channel: a command.
func (s *Server) session(conn net.Conn, open ssh.NewChannel) {
	ch, requests, err := open.Accept()
	if err != nil {
		return
	}
	for r := range requests {
		if r.Type != "exec" || s.config.SilentExec {
			if r.WantReply {
				_ = r.Reply(r.Type == "env", nil)
			}
			continue
		}
		var exec struct{ Command string }
		if err := ssh.Unmarshal(r.Payload, &exec); err != nil {
			conn.Close()
			return
		}
		if r.WantReply {
			_ = r.Reply(true, nil)
		}
		go s.run(conn, ch, exec.Command)
	}
}

func (s *Server) run(conn net.Conn, ch ssh.Channel, command string) {
	s.mu.Lock()
	s.commands = append(s.commands, command)
	s.mu.Unlock()
	stdout := io.Writer(ch)
	if s.config.CutAfter > 0 {
		stdout = &cutter{w: ch, left: s.config.CutAfter, conn: conn}
	}
	if s.config.Garbage != "" {
		_, _ = io.WriteString(stdout, s.config.Garbage)
	}
	code := 127
	if s.config.Exec != nil {
		code = s.config.Exec(command, ch, stdout, ch.Stderr())
	} else {
		fmt.Fprintf(ch.Stderr(), "sh: 1: %s: not found\n", strings.Fields(command)[0])
	}
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(code)}))
	ch.Close()
}

// cutter closes a connection in the middle of what is written.
type cutter struct {
	w    io.Writer
	left int
	conn net.Conn
}

func (c *cutter) Write(p []byte) (int, error) {
	if len(p) < c.left {
		c.left -= len(p)
		return c.w.Write(p)
	}
	n, _ := c.w.Write(p[:c.left])
	c.conn.Close()
	return n, io.ErrClosedPipe
}

// socket serves a channel to a socket of the host.
func (s *Server) socket(open ssh.NewChannel) {
	var to struct {
		Path     string
		Reserved string
		Port     uint32
	}
	if err := ssh.Unmarshal(open.ExtraData(), &to); err != nil || s.config.Socket == nil {
		_ = open.Reject(ssh.ConnectionFailed, "open failed")
		return
	}
	ch, requests, err := open.Accept()
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	s.config.Socket(to.Path, ch)
	ch.Close()
}

// forward serves a jump through this server.
func forward(open ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(open.ExtraData(), &to); err != nil {
		_ = open.Reject(ssh.ConnectionFailed, "malformed")
		return
	}
	out, err := net.Dial("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
	if err != nil {
		_ = open.Reject(ssh.ConnectionFailed, "Connection refused")
		return
	}
	ch, requests, err := open.Accept()
	if err != nil {
		out.Close()
		return
	}
	go ssh.DiscardRequests(requests)
	go func() {
		_, _ = io.Copy(out, ch)
		out.Close()
	}()
	_, _ = io.Copy(ch, out)
	ch.Close()
}
