// Package agentbin holds the agent binaries that the CLI places on hosts.
package agentbin

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
)

// dist holds, for each architecture, lvsform-agent-linux-ARCH.gz, and beside
// it lvsform-agent-linux-ARCH.sha256 with the hex sum of the uncompressed
// file. Without the sum the file is decompressed to learn it, which costs a
// command that has nothing to place some tens of milliseconds.
//
//go:embed all:dist
var dist embed.FS

const (
	prefix = "lvsform-agent-linux-"
	// maxSize bounds an agent's uncompressed length in bytes.
	maxSize = 256 << 20
)

// ErrMissing is an architecture for which there is no agent.
var ErrMissing = errors.New("no agent binary")

// Agent is one agent binary.
type Agent struct {
	Arch   string // as GOARCH
	SHA256 string // of the uncompressed file, hex
	// Each form is made of the other at most once: on first contact a whole
	// fleet asks for it.
	gzip, plain func() ([]byte, error)
}

// Set is the agents of one run.
type Set struct {
	files  fs.FS
	dir    string // "" for the embedded ones
	mu     sync.Mutex
	agents map[string]*Agent
}

// New returns the agents in dir (files lvsform-agent-linux-ARCH, or the same
// with .gz), or the embedded ones when dir is empty.
func New(dir string) *Set {
	if dir != "" {
		return &Set{files: os.DirFS(dir), dir: dir, agents: map[string]*Agent{}}
	}
	embedded, err := fs.Sub(dist, "dist")
	if err != nil {
		panic("agentbin: dist is not embedded: " + err.Error()) // not possible: the directive names it
	}
	return &Set{files: embedded, agents: map[string]*Agent{}}
}

// Archs lists the architectures at hand, the most likely first.
func (s *Set) Archs() ([]string, error) {
	entries, err := fs.ReadDir(s.files, ".")
	if err != nil {
		return nil, fmt.Errorf("--agent-dir %s: %w", s.dir, err)
	}
	var archs []string
	for _, e := range entries {
		arch, ok := strings.CutPrefix(e.Name(), prefix)
		arch = strings.TrimSuffix(arch, ".gz")
		if ok && !strings.Contains(arch, ".") && !slices.Contains(archs, arch) {
			archs = append(archs, arch)
		}
	}
	if len(archs) == 0 {
		return nil, s.missing("any architecture")
	}
	rank := func(arch string) int {
		return 1 + slices.Index([]string{"arm64", "amd64"}, arch)
	}
	slices.SortFunc(archs, func(a, b string) int {
		if d := rank(b) - rank(a); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return archs, nil
}

// Get returns the agent for an architecture (as GOARCH). The error is
// ErrMissing when there is none.
func (s *Set) Get(arch string) (*Agent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.agents[arch]; a != nil {
		return a, nil
	}
	a, err := s.load(arch)
	if err != nil {
		return nil, err
	}
	s.agents[arch] = a
	return a, nil
}

func (s *Set) load(arch string) (*Agent, error) {
	name := prefix + arch
	plain, err := fs.ReadFile(s.files, name)
	if err == nil {
		return &Agent{Arch: arch, SHA256: sum(plain), plain: ready(plain), gzip: sync.OnceValues(func() ([]byte, error) { return pack(plain) })}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read agent binary: %w", err)
	}
	packed, err := fs.ReadFile(s.files, name+".gz")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, s.missing(arch)
	}
	if err != nil {
		return nil, fmt.Errorf("read agent binary: %w", err)
	}
	a := &Agent{Arch: arch, gzip: ready(packed), plain: sync.OnceValues(func() ([]byte, error) { return unpack(packed) })}
	if text, err := fs.ReadFile(s.files, name+".sha256"); err == nil {
		if a.SHA256, err = parseSum(string(text)); err != nil {
			return nil, fmt.Errorf("%s.sha256: %w", name, err)
		}
		return a, nil
	}
	if plain, err = a.plain(); err != nil {
		return nil, fmt.Errorf("%s.gz: %w", name, err)
	}
	a.SHA256 = sum(plain)
	return a, nil
}

func (s *Set) missing(arch string) error {
	if s.dir != "" {
		return fmt.Errorf("%w for linux/%s in --agent-dir %s: put %s%s there", ErrMissing, arch, s.dir, prefix, arch)
	}
	return fmt.Errorf("%w for linux/%s is built into this lvsform: build it with `make build`, "+
		"or name a directory that holds %s%s with --agent-dir DIR", ErrMissing, arch, prefix, arch)
}

// Gzip returns the compressed file.
func (a *Agent) Gzip() ([]byte, error) { return a.gzip() }

// Plain returns the file as it runs.
func (a *Agent) Plain() ([]byte, error) { return a.plain() }

func ready(b []byte) func() ([]byte, error) {
	return func() ([]byte, error) { return b, nil }
}

func pack(plain []byte) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func unpack(packed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(plain) > maxSize {
		return nil, fmt.Errorf("larger than %d bytes", maxSize)
	}
	return plain, nil
}

func sum(plain []byte) string {
	s := sha256.Sum256(plain)
	return hex.EncodeToString(s[:])
}

// parseSum reads the first word of sha256sum's form.
func parseSum(text string) (string, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return "", errors.New("is empty")
	}
	b, err := hex.DecodeString(words[0])
	if err != nil || len(b) != sha256.Size {
		return "", errors.New("is not a SHA-256 sum in hex")
	}
	return strings.ToLower(words[0]), nil
}
