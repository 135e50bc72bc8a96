package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Lab is a Config that was built.
type Lab struct {
	Config Config
	guest  *Guest
	id     int
	dir    string
	ports  map[string]int // on the machine's 127.0.0.1, by host
	owned  bool           // Down closes the guest, too

	machines map[string]*machine // of BuildMachines
}

// labState is what Attach needs to use a Lab.
type labState struct {
	ID     int
	Config Config
	Ports  map[string]int
}

// Result is what a command came to.
type Result struct {
	Stdout, Stderr []byte
	Code           int
}

// Up boots a machine for one lab, which Lab.Down ends again.
func Up(ctx context.Context, o Options, c Config) (*Lab, error) {
	g, err := Boot(ctx, o)
	if err != nil {
		return nil, err
	}
	l, err := g.Build(ctx, c)
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	l.owned = true
	return l, nil
}

// Attach finds the detached lab of a directory.
func Attach(dir string) (*Lab, error) {
	data, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("no lab is up in %s: %w", dir, err)
	}
	if err != nil {
		return nil, err
	}
	g := &Guest{dir: dir, used: map[int]bool{}}
	if err := json.Unmarshal(data, &g.state); err != nil || g.state.Lab == nil {
		return nil, errors.Join(fmt.Errorf("%s does not describe a lab", filepath.Join(dir, stateFile)), err)
	}
	s := g.state.Lab
	if !running(g.state.PID, dir) {
		return nil, fmt.Errorf("the lab of %s has ended: %w", dir, os.ErrNotExist)
	}
	return &Lab{Config: s.Config, guest: g, id: s.ID, ports: s.Ports, dir: g.labDir(s.ID), owned: true}, nil
}

func (g *Guest) labDir(id int) string { return filepath.Join(g.dir, fmt.Sprintf("lab-%d", id)) }

// Build makes the hosts of a Config.
func (g *Guest) Build(ctx context.Context, c Config) (*Lab, error) {
	l := &Lab{Config: c, guest: g, ports: map[string]int{}}
	b := &build{Networks: len(c.Networks)}
	if err := g.reserve(l, b); err != nil {
		return nil, err
	}
	if err := l.writeSSH(ctx, b); err != nil {
		return nil, errors.Join(fmt.Errorf("make the lab's SSH keys: %w", err), l.forget())
	}
	if _, err := g.call(ctx, request{Op: opBuild, Lab: l.id, Build: b}, nil, nil); err != nil {
		return nil, errors.Join(fmt.Errorf("build the lab's hosts: %w", err), l.Down(ctx))
	}
	g.state.Lab = &labState{ID: l.id, Config: c, Ports: l.ports}
	return l, g.save()
}

// reserve gives the lab its number and every host a port.
func (g *Guest) reserve(l *Lab, b *build) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.labs++
	l.id, l.dir = g.labs, g.labDir(g.labs)
	next := 0
	for _, h := range l.Config.Hosts {
		if b.Wired && h.Role == Declared { // a machine of its own
			b.Hosts = append(b.Hosts, buildHost{Host: h})
			continue
		}
		for next < len(g.state.SSH) && g.used[next] {
			next++
		}
		if next == len(g.state.SSH) {
			return fmt.Errorf("the lab has room for %d hosts at a time", len(g.state.SSH))
		}
		g.used[next] = true
		l.ports[h.Name] = g.state.SSH[next]
		b.Hosts = append(b.Hosts, buildHost{Host: h, Port: guestPort + 1 + next})
	}
	return nil
}

// plain is a name that can stand in ssh_config and known_hosts as it is.
var plain = regexp.MustCompile(`^[A-Za-z0-9._:-]+$`)

// writeSSH makes the identity, a key for every host, and the files that name
// them. The machine makes the keys because the emulated one is slow.
func (l *Lab) writeSSH(ctx context.Context, b *build) error {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	_, public, err := l.newKey(ctx, "identity")
	if err != nil {
		return err
	}
	b.Authorized = public
	var config, known strings.Builder
	for i, h := range b.Hosts {
		private, public, err := l.newKey(ctx, fmt.Sprintf("host-%d", i))
		if err != nil {
			return err
		}
		b.Hosts[i].HostKey = private
		port := l.ports[h.Name]
		var names []string
		for _, n := range append([]string{h.Name}, h.Aliases...) {
			if plain.MatchString(n) {
				names = append(names, n)
			}
		}
		at := fmt.Sprintf("[127.0.0.1]:%d", port)
		fmt.Fprintf(&known, "%s %s\n", strings.Join(append(names, at), ","), public)
		if len(names) > 0 {
			fmt.Fprintf(&config, "Host %s\n  HostName 127.0.0.1\n  Port %d\n\n", strings.Join(names, " "), port)
		}
	}
	fmt.Fprintf(&config, "Host *\n  User root\n  IdentityFile %q\n  IdentitiesOnly yes\n  UserKnownHostsFile %q\n"+
		"  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  ForwardAgent no\n", l.Identity(), l.KnownHosts())
	return errors.Join(os.WriteFile(l.SSHConfig(), []byte(config.String()), 0o600),
		os.WriteFile(l.KnownHosts(), []byte(known.String()), 0o600))
}

func (l *Lab) newKey(ctx context.Context, name string) (private, public string, err error) {
	path := filepath.Join(l.dir, name)
	if err := run(ctx, l.dir, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path); err != nil {
		return "", "", err
	}
	key, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	pub, err := os.ReadFile(path + ".pub")
	return string(key), strings.TrimSpace(string(pub)), err
}

// SSHConfig is the file for ssh -F; it names every host by its name and by the
// addresses that the topology gives for SSH.
func (l *Lab) SSHConfig() string { return filepath.Join(l.dir, "ssh_config") }

// KnownHosts is the file with the host keys.
func (l *Lab) KnownHosts() string { return filepath.Join(l.dir, "known_hosts") }

// Identity is the private key that every host lets in as root.
func (l *Lab) Identity() string { return filepath.Join(l.dir, "identity") }

// Port is where a host's SSH server is reached on 127.0.0.1; 0 for no host.
func (l *Lab) Port(host string) int { return l.ports[host] }

// Guest is the machine that the lab runs on.
func (l *Lab) Guest() *Guest { return l.guest }

// Exec runs a command on a host as root, not through SSH. A command that ran is
// no error, whatever its exit code.
func (l *Lab) Exec(ctx context.Context, host string, argv ...string) (Result, error) {
	return l.ExecInput(ctx, host, nil, argv...)
}

// ExecInput is Exec with something to read on standard input.
func (l *Lab) ExecInput(ctx context.Context, host string, stdin []byte, argv ...string) (Result, error) {
	if l.Config.Host(host) == nil {
		return Result{}, l.unknown(host)
	}
	g, r := l.at(request{Op: opExec, Host: host, Argv: argv, Stdin: stdin})
	return g.exec(ctx, r)
}

// at completes a request, and tells which machine does it.
func (l *Lab) at(r request) (*Guest, request) {
	if m := l.machines[r.Host]; m != nil {
		r.Host = ""
		return m.far, r
	}
	r.Lab = l.id
	return l.guest, r
}

func (l *Lab) call(ctx context.Context, r request) (event, error) {
	g, r := l.at(r)
	return g.call(ctx, r, nil, nil)
}

func (l *Lab) unknown(host string) error {
	var names []string
	for _, h := range l.Config.Hosts {
		names = append(names, h.Name)
	}
	return fmt.Errorf("the lab has no host %q; it has %s", host, strings.Join(names, ", "))
}

// Exec runs a command as root in the machine beside its hosts.
func (g *Guest) Exec(ctx context.Context, argv ...string) (Result, error) {
	return g.exec(ctx, request{Op: opExec, Argv: argv})
}

func (g *Guest) exec(ctx context.Context, r request) (Result, error) {
	var out, errs bytes.Buffer
	e, err := g.call(ctx, r, &out, &errs)
	return Result{Stdout: out.Bytes(), Stderr: errs.Bytes(), Code: e.Code}, err
}

// Serve answers on a port of every address of a host, until the host goes; on a
// machine of its own again after each boot.
// A line gets the host's name and the line back, a GET the name alone.
func (l *Lab) Serve(ctx context.Context, host, network string, port uint16) error {
	_, err := l.call(ctx, request{Op: opServe, Host: host, Network: network, Port: port})
	return err
}

// Unserve stops what Serve started.
func (l *Lab) Unserve(ctx context.Context, host, network string, port uint16) error {
	_, err := l.call(ctx, request{Op: opUnserve, Host: host, Network: network, Port: port})
	return err
}

// Request sends requests from a host, one after the other, and tells who
// answered them.
func (l *Lab) Request(ctx context.Context, host string, r Requests) (Answers, error) {
	e, err := l.call(ctx, request{Op: opRequest, Host: host, Load: &r})
	if err != nil || e.Answer == nil {
		return Answers{}, err
	}
	return *e.Answer, nil
}

// Dial connects from a host.
func (l *Lab) Dial(ctx context.Context, host, network, target string) (net.Conn, error) {
	g, dial := l.at(request{Op: opDial, Host: host, Network: network, Target: target})
	conn, r, err := g.send(ctx, dial)
	if err != nil {
		return nil, err
	}
	var e event
	line, err := r.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &e)
	}
	if err == nil && e.Error != "" {
		err = errors.New(e.Error)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("dial %s from %s: %w", target, host, err), conn.Close())
	}
	return &buffered{Conn: conn, r: r}, conn.SetDeadline(time.Time{})
}

// buffered reads first what came together with the answer to the dial.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// Down removes the hosts, and ends the machine that Up booted for them.
func (l *Lab) Down(ctx context.Context) error {
	for _, m := range l.machines {
		m.off()
	}
	if l.owned {
		return l.guest.Close()
	}
	_, err := l.guest.call(ctx, request{Op: opDown, Lab: l.id}, nil, nil)
	return errors.Join(err, l.forget())
}

// forget gives the ports back and removes the files.
func (l *Lab) forget() error {
	l.guest.mu.Lock()
	defer l.guest.mu.Unlock()
	for i, p := range l.guest.state.SSH {
		for _, ours := range l.ports {
			if p == ours {
				delete(l.guest.used, i)
			}
		}
	}
	return os.RemoveAll(l.dir)
}

// send opens a control connection; the caller closes it.
func (g *Guest) send(ctx context.Context, r request) (net.Conn, *bufio.Reader, error) {
	r.Token = g.state.Token
	line, err := json.Marshal(r)
	if err != nil {
		return nil, nil, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", g.state.Control))
	if err != nil {
		return nil, nil, fmt.Errorf("the lab's machine does not answer: %w", err)
	}
	if _, err := conn.Write(append(line, '\n')); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return conn, bufio.NewReader(conn), nil
}

// call sends a request and reads its answer to the end. A cancelled context
// ends what the guest is doing for it.
func (g *Guest) call(ctx context.Context, r request, out, errs io.Writer) (event, error) {
	conn, reader, err := g.send(ctx, r)
	if err != nil {
		return event{}, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	dec := json.NewDecoder(reader)
	for {
		var e event
		if err := dec.Decode(&e); err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return e, fmt.Errorf("the lab's machine broke off: %w", err)
		}
		err := errors.Join(write(out, e.Out), write(errs, e.Err))
		switch {
		case err != nil:
			return e, err
		case e.Error != "":
			return e, errors.New(e.Error)
		case e.Done:
			return e, nil
		}
	}
}

func write(w io.Writer, data []byte) error {
	if w == nil || len(data) == 0 {
		return nil
	}
	_, err := w.Write(data)
	return err
}
