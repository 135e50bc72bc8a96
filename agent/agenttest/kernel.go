// Package agenttest is a kernel in memory that refuses what Linux refuses.
//
//	k := agenttest.NewKernel(agenttest.Host()...)  // lo, eth0 with an address and a default route, sysctls
//	k.Provide("ip_vs", "ip_vs_wlc", "ipip")        // modules that can be loaded; NewKernel provides the usual ones
//	k.FailAt(3)                                    // the third change from now fails, once
//	k.Save(path); k.Load(path)                     // its whole state as JSON
//
// It is a txn.Kernel; give it to agent.Server. All methods may be called at the
// same time from several goroutines.
package agenttest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
)

// Errors that the kernel answers with, named as in errno(3).
var (
	ErrExist       = errors.New("file exists")
	ErrNotFound    = errors.New("no such file or directory")
	ErrNoDevice    = errors.New("no such device")
	ErrUnreachable = errors.New("network is unreachable")
	ErrNetworkDown = errors.New("network is down")
	ErrInvalid     = errors.New("invalid argument")
	ErrUnsupported = errors.New("operation not supported")
	ErrInUse       = errors.New("address already in use")
	ErrInjected    = errors.New("injected fault")
)

// Kernel is a stateful kernel of one host.
type Kernel struct {
	mu      sync.Mutex
	objects state.Objects // in the kernel's order; nil where one has gone
	gaps    bool
	index   map[state.Key]int
	modules []string // that can be loaded
	failAt  int      // changes until one fails; 0 is never
	made    int      // changes made so far
	spoken  []state.Address
	facts   state.Facts
	units   map[string][]state.Unit   // by the package that brings them
	counted map[string]state.Counters // by destination
	running []string
}

// NewKernel returns a kernel with these objects and the usual modules to load.
func NewKernel(objects ...state.Object) *Kernel {
	k := &Kernel{modules: usualModules(), index: map[state.Key]int{}}
	for _, o := range objects {
		k.put(o)
	}
	return k
}

func usualModules() []string {
	names := []string{"dummy", "fou", "ip6_tunnel", "ip_gre", "ip_vs", "ipip", "nf_tables", "sit"}
	for _, s := range []string{"dh", "fo", "lblc", "lblcr", "lc", "mh", "nq", "ovf", "rr", "sed", "sh", "twos", "wlc", "wrr", "pe_sip"} {
		names = append(names, "ip_vs_"+s)
	}
	return names
}

// Provide replaces the modules that can be loaded.
func (k *Kernel) Provide(modules ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.modules = slices.Clone(modules)
}

// Bring makes a package bring services when it is installed.
func (k *Kernel) Bring(pkg string, units ...state.Unit) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.units == nil {
		k.units = map[string][]state.Unit{}
	}
	k.units[pkg] = units
}

// FailAt makes the n-th change from now fail once, before it does anything; 0
// is never.
func (k *Kernel) FailAt(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failAt = n
}

// Made is the number of changes made so far.
func (k *Kernel) Made() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.made
}

// Announced lists the addresses announced so far.
func (k *Kernel) Announced() []state.Address {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.spoken)
}

// Objects returns all objects, sorted.
func (k *Kernel) Objects() state.Objects {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.compact()
	objects := slices.Clone(k.objects)
	objects.Sort()
	return objects
}

// Set puts objects in place of those with the same keys, as somebody at the
// host could do by hand. Nothing is checked.
func (k *Kernel) Set(objects ...state.Object) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, o := range objects {
		k.put(o)
	}
}

// Remove takes objects away by their keys. Nothing is checked.
func (k *Kernel) Remove(keys ...state.Key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range keys {
		k.drop(key)
	}
}

// saved is a kernel's state as Save writes it.
type saved struct {
	Objects state.Objects `json:"objects"`
	Modules []string      `json:"modules"` // that can be loaded
	FailAt  int           `json:"fail_at,omitempty"`
	// NoSystemd is that of the facts.
	NoSystemd bool `json:"no_systemd,omitempty"`
}

// Save writes the state as JSON.
func (k *Kernel) Save(path string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.compact()
	body, err := json.MarshalIndent(saved{Objects: k.objects, Modules: k.modules, FailAt: k.failAt, NoSystemd: k.facts.NoSystemd}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(body, '\n'), 0o600)
}

// Load reads what Save wrote. Without "modules" the usual ones can be loaded.
func (k *Kernel) Load(path string) error {
	body, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var s saved
	if err := json.Unmarshal(body, &s); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if s.Modules == nil {
		s.Modules = usualModules()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.objects, k.modules, k.failAt, k.facts.NoSystemd = s.Objects, s.Modules, s.FailAt, s.NoSystemd
	k.reindex()
	return nil
}

// Read implements txn.Kernel.
func (k *Kernel) Read(q txn.Query) (txn.Host, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.compact()
	var h txn.Host
	for _, o := range k.objects {
		if asked(q, o) {
			h.Objects = append(h.Objects, o)
		}
	}
	for _, name := range q.Modules {
		if k.get(state.Module{Name: name}.Key()) == nil && !slices.Contains(k.modules, name) {
			h.MissingModules = append(h.MissingModules, name)
		}
	}
	slices.Sort(h.MissingModules)
	h.MissingModules = slices.Compact(h.MissingModules)
	return h, nil
}

func asked(q txn.Query, o state.Object) bool {
	switch o := o.(type) {
	case state.Module:
		return slices.Contains(q.Modules, o.Name)
	case state.Sysctl:
		return slices.ContainsFunc(q.Sysctls, func(pattern string) bool { return match(pattern, o.Name) })
	case state.Package:
		return slices.Contains(q.Packages, o.Name)
	case state.Unit:
		return slices.Contains(q.Units, o.Name)
	case state.Mark, state.Masquerade:
		return q.NFT
	case state.Config:
		return q.Configs
	case state.Timeouts, state.Sync, state.Service, state.Destination:
		return q.IPVS
	}
	return q.Network
}

func match(pattern, name string) bool {
	want, have := strings.Split(pattern, "."), strings.Split(name, ".")
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if want[i] != "*" && want[i] != have[i] {
			return false
		}
	}
	return true
}

// Apply implements txn.Kernel.
func (k *Kernel) Apply(changes []state.Change) (done int, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, c := range changes {
		if k.failAt > 0 {
			if k.failAt--; k.failAt == 0 {
				return i, ErrInjected
			}
		}
		if err := k.change(c); err != nil {
			return i, err
		}
		k.made++
	}
	return len(changes), nil
}

// Facts implements txn.Kernel.
func (k *Kernel) Facts(bool) (state.Facts, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.facts, nil
}

// SetFacts sets what Facts answers.
func (k *Kernel) SetFacts(f state.Facts) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.facts = f
}

// Announce implements txn.Kernel.
func (k *Kernel) Announce(a state.Address) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.spoken = append(k.spoken, a)
	return nil
}

func (k *Kernel) get(key state.Key) state.Object {
	if i, ok := k.index[key]; ok {
		return k.objects[i]
	}
	return nil
}

func (k *Kernel) put(o state.Object) {
	key := o.Key()
	if i, ok := k.index[key]; ok {
		k.objects[i] = o
		return
	}
	k.index[key] = len(k.objects)
	k.objects = append(k.objects, o)
}

func (k *Kernel) drop(key state.Key) {
	if i, ok := k.index[key]; ok {
		k.objects[i] = nil // compact closes the gap
		k.gaps = true
		delete(k.index, key)
	}
}

// compact closes the gaps that drop has left.
func (k *Kernel) compact() {
	if k.gaps {
		k.dropIf(func(state.Object) bool { return false })
	}
}

func (k *Kernel) dropIf(f func(state.Object) bool) {
	k.objects = slices.DeleteFunc(k.objects, func(o state.Object) bool { return o == nil || f(o) })
	k.gaps = false
	k.reindex()
}

func (k *Kernel) reindex() {
	k.index = make(map[state.Key]int, len(k.objects))
	for i, o := range k.objects {
		k.index[o.Key()] = i
	}
}

// Hold implements txn.Kernel: nothing is away for a moment.
func (k *Kernel) Hold([]state.ServiceID) (release func()) { return func() {} }
