// Package remote reaches hosts over SSH and speaks to the agent there.
package remote

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/lvsform/lvsform/remote/agentbin"
)

// DefaultTimeout is Config.Timeout when it is zero.
const DefaultTimeout = 30 * time.Second

// Target is a host to reach. Zero fields leave the choice to ssh_config.
type Target struct {
	Name         string // the host's name in the topology, for messages
	Address      string // an address, a DNS name, or a Host of ssh_config
	Port         int
	User         string
	IdentityFile string // offered beside those of ssh_config
	Jump         string // as ProxyJump: [user@]host[:port],…, or "none"
	Sudo         bool   // the agent is run by sudo -n
}

// Config is what all hosts of a run have in common.
type Config struct {
	SSHConfig  string        // read instead of ~/.ssh/config and the system's
	KnownHosts string        // read instead of the files that ssh_config names
	Identity   string        // a private key to offer before those of Target and ssh_config
	AgentDir   string        // holds the agent binaries; empty: the embedded ones
	Timeout    time.Duration // for a connection, and for each step of a request
	Log        *slog.Logger  // nil: nothing is logged
}

// Dialer reaches hosts. It may be used by several goroutines, and shares what
// it learnt among them: settings, keys, host keys, connections to jump hosts.
type Dialer struct {
	config     Config
	log        *slog.Logger
	agents     *agentbin.Set
	resolver   *resolver
	known      *knownFiles
	identities *identities
	agentLists *agentLists
	archs      *archMemory
	jumps      *jumpPool
}

// New returns a Dialer. It neither connects nor reads a file before Connect.
func New(config Config) *Dialer {
	if config.Timeout <= 0 {
		config.Timeout = DefaultTimeout
	}
	log := config.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Dialer{
		config:     config,
		log:        log,
		agents:     agentbin.New(config.AgentDir),
		resolver:   newResolver(config.SSHConfig, log),
		known:      newKnownFiles(),
		identities: newIdentities(),
		agentLists: newAgentLists(),
		archs:      &archMemory{byHost: map[string]string{}},
		jumps:      newJumpPool(),
	}
}

// Fresh returns a Dialer that knows what d knows, and shares none of its
// connections: a confirmation proves the whole way to a host anew.
func (d *Dialer) Fresh() *Dialer {
	fresh := *d
	fresh.jumps = newJumpPool()
	return &fresh
}

// Patient returns a Dialer that knows what d knows and allows that much for each
// step of a request.
func (d *Dialer) Patient(timeout time.Duration) *Dialer {
	patient := *d
	patient.config.Timeout = timeout
	return &patient
}

// Connect reaches a host and starts the agent there. The agent's answer is not
// waited for: a fault of the agent, and its placing on a host that does not
// have it yet, come with the first request (or with Hello).
//
// Errors to expect: *DialError, *UnknownHostKeyError, *ChangedHostKeyError,
// *RevokedHostKeyError, *HostCertificateError, *AuthError, agentbin.ErrMissing.
func (d *Dialer) Connect(ctx context.Context, t Target) (*Session, error) {
	arch, err := d.guessArch(t)
	if err != nil {
		return nil, err
	}
	// Its sum is needed last; to make it may take as long as a handshake.
	go func() { _, _ = d.agents.Get(arch) }()
	l, err := d.reach(ctx, t)
	if err != nil {
		return nil, err
	}
	return d.start(ctx, t, l, arch)
}

// reach connects to a target and logs in.
func (d *Dialer) reach(ctx context.Context, t Target) (*link, error) {
	s, err := d.settings(ctx, t)
	if err != nil {
		return nil, err
	}
	l, err := d.open(ctx, &s, nil)
	if err == nil {
		d.log.Debug("connected", "host", t.Name, "address", l.address, "user", s.User)
	}
	return l, err
}

// start starts the agent over a connection, which ends when that fails.
func (d *Dialer) start(ctx context.Context, t Target, l *link, arch string) (*Session, error) {
	agent, err := d.agents.Get(arch)
	if err != nil {
		l.close()
		return nil, err
	}
	session := &Session{dialer: d, target: t, link: l, agent: agent}
	g := newGuard(ctx, d.config.Timeout, "the start of the agent", l.conn)
	session.proc, err = startProcess(l, serveCommand(agent.SHA256, t.Sudo))
	if err = g.end(err); err != nil {
		l.close()
		return nil, &LostError{Address: l.address, During: "the start of the agent", Err: err}
	}
	return session, nil
}

// settings asks ssh_config about a target.
func (d *Dialer) settings(ctx context.Context, t Target) (settings, error) {
	var identities []string
	for _, file := range []string{d.config.Identity, t.IdentityFile} {
		if file == "" {
			continue
		}
		file = expandTilde(file)
		if _, err := os.Stat(file); err != nil {
			return settings{}, fmt.Errorf("identity file: %w", err)
		}
		identities = append(identities, file)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, d.config.Timeout, &TimeoutError{d.config.Timeout, "ssh -G"})
	defer cancel()
	s, err := d.resolver.resolve(ctx, query{Host: t.Address, User: t.User, Port: t.Port, Identities: identities})
	if err != nil {
		return s, err
	}
	if t.Jump != "" {
		s.ProxyJump, s.ProxyCommand = t.Jump, ""
	}
	return s, nil
}

// archMemory remembers hosts whose architecture is not the most likely one.
type archMemory struct {
	mu     sync.Mutex
	byHost map[string]string
}

func archKey(t Target) string { return net.JoinHostPort(t.Address, strconv.Itoa(t.Port)) }

func (m *archMemory) get(t Target) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byHost[archKey(t)]
}

func (m *archMemory) set(t Target, arch string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.byHost[archKey(t)] = arch
}

// guessArch is the architecture whose agent is tried first.
func (d *Dialer) guessArch(t Target) (string, error) {
	if arch := d.archs.get(t); arch != "" {
		return arch, nil
	}
	archs, err := d.agents.Archs()
	if err != nil {
		return "", err
	}
	return archs[0], nil
}
