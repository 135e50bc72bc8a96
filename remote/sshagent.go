package remote

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// agentLists asks each ssh-agent once for its keys.
type agentLists struct {
	mu    sync.Mutex
	lists map[string]agentList
}

type agentList struct {
	keys []candidate
	err  error
}

func newAgentLists() *agentLists { return &agentLists{lists: map[string]agentList{}} }

// agentSocket is where the ssh-agent for a host listens, "" for none.
func agentSocket(s *settings) (string, error) {
	switch {
	case s.IdentityAgent == "none":
		return "", nil
	case s.IdentityAgent == "" || s.IdentityAgent == "SSH_AUTH_SOCK":
		if path := os.Getenv("SSH_AUTH_SOCK"); path != "" {
			return path, nil
		}
		return defaultAgent, nil
	case strings.HasPrefix(s.IdentityAgent, "$") && !strings.HasPrefix(s.IdentityAgent, "${"):
		return os.Getenv(s.IdentityAgent[1:]), nil
	}
	return s.expandPath(s.IdentityAgent)
}

// agentKeys lists the keys of the ssh-agent that a host's settings name.
func (d *Dialer) agentKeys(s *settings) ([]candidate, error) {
	path, err := agentSocket(s)
	if err != nil {
		return nil, fmt.Errorf("IdentityAgent: %w", err)
	}
	if path == "" {
		return nil, nil
	}
	d.agentLists.mu.Lock()
	defer d.agentLists.mu.Unlock()
	list, ok := d.agentLists.lists[path]
	if !ok {
		list.keys, list.err = listAgent(path, d.config.Timeout)
		d.agentLists.lists[path] = list
	}
	return list.keys, list.err
}

func listAgent(path string, timeout time.Duration) ([]candidate, error) {
	conn, err := openAgent(path, timeout)
	if err != nil {
		return nil, missingAgent(path, err)
	}
	defer conn.Close()
	keys, err := agent.NewClient(conn).List()
	if err != nil {
		return nil, fmt.Errorf("ssh-agent at %s: %w", path, err)
	}
	var found []candidate
	for _, k := range keys {
		pub, err := ssh.ParsePublicKey(k.Blob)
		if err != nil {
			continue // a type that is not supported
		}
		name := fmt.Sprintf("agent key %q (%s %s)", k.Comment, keyName(pub), ssh.FingerprintSHA256(pub))
		found = append(found, candidate{&agentSigner{path: path, timeout: timeout, key: pub}, name})
	}
	return found, nil
}

// missingAgent is nil for the agent that is looked for without being named.
func missingAgent(path string, err error) error {
	if path == defaultAgent {
		return nil
	}
	return fmt.Errorf("ssh-agent at %s: %w", path, err)
}

// openAgent connects to an ssh-agent, for one exchange within timeout.
func openAgent(path string, timeout time.Duration) (net.Conn, error) {
	conn, err := dialAgent(path, timeout)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// agentSigner signs with a key that an ssh-agent holds. Each signature has a
// connection of its own: many hosts sign at once.
type agentSigner struct {
	path    string
	timeout time.Duration
	key     ssh.PublicKey
}

func (s *agentSigner) PublicKey() ssh.PublicKey { return s.key }

func (s *agentSigner) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(rand, data, "")
}

// Algorithms leaves out SHA-1.
func (s *agentSigner) Algorithms() []string {
	format := bareKey(s.key).Type()
	if format == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{format}
}

func (s *agentSigner) SignWithAlgorithm(_ io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	conn, err := openAgent(s.path, s.timeout)
	if err != nil {
		return nil, fmt.Errorf("ssh-agent at %s: %w", s.path, err)
	}
	defer conn.Close()
	var flags agent.SignatureFlags
	switch algorithm {
	case ssh.KeyAlgoRSASHA256:
		flags = agent.SignatureFlagRsaSha256
	case ssh.KeyAlgoRSASHA512:
		flags = agent.SignatureFlagRsaSha512
	}
	return agent.NewClient(conn).SignWithFlags(s.key, data, flags)
}
