package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lvsform/lvsform/agent"
	"github.com/lvsform/lvsform/agent/agenttest"
	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/remote/sshtest"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"lvsform": func() {
			version = "0.0.0-test"
			main()
		},
		"witness": witness,
	})
}

func TestScripts(t *testing.T) {
	commands := &commandLog{all: map[string]bool{}}
	t.Cleanup(func() { commands.check(t) }) // when all scripts have ended
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			err := setup(env)
			env.Defer(func() { commands.add(env.Values[fleetKey{}].(*testFleet)) })
			return err
		},
		RequireExplicitExec: false,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fleet": fleetCommand, "live": liveCommand, "lock": lockCommand, "perm": permCommand,
			"run": runCommand, "await": awaitCommand, "until-unlocked": unlockedCommand, "exits": exitsCommand,
		},
	})
}

// setup gives every script its own hosts, and files that the CLI finds them by.
func setup(env *testscript.Env) error {
	for _, dir := range []string{"agents", "home", "hosts"} {
		if err := os.Mkdir(filepath.Join(env.WorkDir, dir), 0o700); err != nil {
			return err
		}
	}
	agentFile := filepath.Join(env.WorkDir, "agents", "lvsform-agent-linux-amd64")
	if err := os.WriteFile(agentFile, []byte("stands for the agent"), 0o600); err != nil {
		return err
	}
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		return err
	}
	env.Vars = append(env.Vars, "HOME="+filepath.Join(env.WorkDir, "home"), "EXAMPLES="+examples,
		"SSH="+filepath.Join(env.WorkDir, "ssh_config"), "AGENTS="+filepath.Join(env.WorkDir, "agents"))
	env.Values[fleetKey{}] = &testFleet{t: env.T().(testing.TB), dir: env.WorkDir, hosts: map[string]*testHost{}}
	return nil
}

type fleetKey struct{}

// testFleet is the hosts of one script.
type testFleet struct {
	t     testing.TB
	dir   string
	hosts map[string]*testHost

	environ []string // of the program, beside the test's
	stdin   string   // of the program
}

// testHost is a host in memory behind an SSH server in this process.
type testHost struct {
	name, address string
	fleet         *testFleet
	kernel        *heldKernel
	remote        sshtest.Host
	server        *sshtest.Server
	dir           string
	held          func() // releases the lock that a script holds
}

// heldKernel is a kernel whose changes can be made to wait.
type heldKernel struct {
	*agenttest.Kernel
	mu      sync.Mutex
	gate    chan struct{} // changes wait until it is closed; nil: they do not
	waiting chan struct{} // closed when a change waits
	// instead, unless nil, is asked before changes are made; an answer that is
	// not nil is the kernel's.
	instead func([]state.Change) error
	// asked, unless nil, hears that the kernel is about to be read.
	asked func()
	reads int
}

func (k *heldKernel) Read(q txn.Query) (txn.Host, error) {
	k.mu.Lock()
	asked := k.asked
	k.mu.Unlock()
	if asked != nil {
		asked()
	}
	return k.Kernel.Read(q)
}

func (k *heldKernel) Apply(changes []state.Change) (int, error) {
	k.mu.Lock()
	gate, waiting, instead := k.gate, k.waiting, k.instead
	k.mu.Unlock()
	if instead != nil {
		if err := instead(changes); err != nil {
			return 0, err
		}
	}
	if gate != nil {
		select {
		case <-waiting:
		default:
			close(waiting)
		}
		<-gate
	}
	return k.Kernel.Apply(changes)
}

func (k *heldKernel) hold() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.gate, k.waiting = make(chan struct{}), make(chan struct{})
}

func (k *heldKernel) release() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.gate != nil {
		close(k.gate)
		k.gate = nil
	}
}

// fleetCommand: fleet NAME=ADDRESS/LENGTH[,GATEWAY] ... makes hosts.
func fleetCommand(ts *testscript.TestScript, neg bool, args []string) {
	f := ts.Value(fleetKey{}).(*testFleet)
	for _, arg := range args {
		name, where, ok := strings.Cut(arg, "=")
		if !ok || neg {
			ts.Fatalf("usage: fleet NAME=ADDRESS/LENGTH[,GATEWAY] ...")
		}
		f.add(name, where)
	}
	ts.Check(f.writeSSHConfig())
}

// add makes a host at ADDRESS/LENGTH[,GATEWAY].
func (f *testFleet) add(name, where string) *testHost {
	address, gateway, _ := strings.Cut(where, ",")
	h := &testHost{name: name, fleet: f, kernel: &heldKernel{Kernel: agenttest.NewKernel(agenttest.HostAt(address, gateway)...)},
		dir: filepath.Join(f.dir, "hosts", name)}
	for _, program := range []string{"keepalived", "ldirectord"} { // as Debian's packages do
		h.kernel.Bring(program, state.Unit{Name: program, Running: state.Some(true), Enabled: state.Some(true)})
	}
	h.address, _, _ = strings.Cut(address, "/")
	h.remote.Serve = h.serve
	h.server = sshtest.Start(f.t, sshtest.Config{Exec: h.remote.Exec})
	f.hosts[name] = h
	return h
}

func (f *testFleet) writeSSHConfig() error {
	var b strings.Builder
	for _, h := range f.hosts {
		fmt.Fprintf(&b, "Host %s\n  HostName %s\n  Port %d\n  IdentityFile %s\n  IdentitiesOnly yes\n  UserKnownHostsFile %s\n  User root\n",
			h.address, h.server.Host, h.server.Port, h.server.Identity, h.server.KnownHosts)
	}
	return os.WriteFile(filepath.Join(f.dir, "ssh_config"), []byte(b.String()), 0o600)
}

func (h *testHost) agent() *agent.Server {
	return &agent.Server{Kernel: h.kernel, StateDir: filepath.Join(h.dir, "state"), LockDir: filepath.Join(h.dir, "run"),
		Hello:      wire.Hello{Hostname: h.name, Kernel: "6.1.0-test", Arch: "amd64"},
		StartGuard: agenttest.StartGuard(h.kernel), Knock: h.knock}
}

// knock reaches the host that has the service.
func (h *testHost) knock(q wire.Knock) ([]string, error) {
	for _, other := range h.fleet.hosts {
		if _, ok := other.kernel.Objects().ByKey()[parseKey("ipvs_service "+q.Protocol+"/"+q.Address.String())]; ok {
			return other.kernel.Knock(q)
		}
	}
	return h.kernel.Knock(q)
}

func (h *testHost) serve(stdin io.Reader, stdout, stderr io.Writer) int {
	if err := h.agent().Serve(stdin, stdout); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

func (f *testFleet) host(ts *testscript.TestScript, name string) *testHost {
	h := f.hosts[name]
	if h == nil {
		ts.Fatalf("no host %s: make it with fleet", name)
	}
	return h
}

// liveCommand looks at a host, or changes it by hand:
//
//	live HOST set JSON      put an object: {"sysctl": {"name": …}}
//	live HOST remove KEY    take an object away: 'address lo/192.0.2.1'
//	[!] live HOST has KEY   is it there?
//	live HOST save FILE     write everything there is, to compare
//	live HOST fail N        the N-th change from now fails
//	live HOST hold          changes wait
//	live HOST held          wait until one waits
//	live HOST release       changes go on
//	live HOST down          nothing listens any more
//	live HOST made N        how many changes were made
//	live HOST count JSON    set the counters of a destination
//	live HOST runs NAME...  the programs that run
func liveCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: live HOST VERB [ARG]")
	}
	h := ts.Value(fleetKey{}).(*testFleet).host(ts, args[0])
	arg := strings.Join(args[2:], " ")
	switch args[1] {
	case "set":
		var x state.Boxed
		ts.Check(json.Unmarshal([]byte(arg), &x))
		h.kernel.Set(x.Object)
	case "remove":
		h.kernel.Remove(parseKey(arg))
	case "has":
		if _, ok := h.kernel.Objects().ByKey()[parseKey(arg)]; ok == neg {
			ts.Fatalf("%s: %s: present is %v", h.name, arg, ok)
		}
	case "save":
		ts.Check(os.WriteFile(ts.MkAbs(arg), dump(h.kernel.Objects()), 0o600))
	case "fail":
		n, err := strconv.Atoi(arg)
		ts.Check(err)
		h.kernel.FailAt(n)
	case "facts":
		var f state.Facts
		ts.Check(json.Unmarshal([]byte(arg), &f))
		h.kernel.SetFacts(f)
	case "count":
		var c state.Counters
		ts.Check(json.Unmarshal([]byte(arg), &c))
		h.kernel.Count(c)
	case "runs":
		h.kernel.Run(args[2:]...)
	case "hold":
		h.kernel.hold()
	case "held":
		<-h.kernel.waiting
	case "release":
		h.kernel.release()
	case "down":
		h.server.Close()
	case "made":
		if got := strconv.Itoa(h.kernel.Made()); (got == arg) == neg {
			ts.Fatalf("%s: %s changes were made", h.name, got)
		}
	default:
		ts.Fatalf("live: unknown verb %q", args[1])
	}
}

func parseKey(text string) state.Key {
	kind, id, _ := strings.Cut(text, " ")
	return state.Key{Kind: state.Kind(kind), ID: id}
}

// dump writes objects one a line. Modules are never unloaded: they are left out
// with the sysctls and timeouts that they bring.
func dump(objects state.Objects) []byte {
	var b bytes.Buffer
	for _, o := range slices.DeleteFunc(slices.Clone(objects), func(o state.Object) bool {
		return o.Key().Kind == state.KindModule || o == state.Object(state.DefaultTimeouts) || strings.HasPrefix(o.Key().String(), "sysctl net.ipv4.vs.")
	}) {
		line, err := json.Marshal(state.Boxed{Object: o})
		if err != nil {
			panic(err)
		}
		b.Write(append(line, '\n'))
	}
	return b.Bytes()
}

// lockCommand: lock HOST OWNER holds a host's lock; ! lock HOST lets it go.
func lockCommand(ts *testscript.TestScript, neg bool, args []string) {
	h := ts.Value(fleetKey{}).(*testFleet).host(ts, args[0])
	if neg {
		h.held()
		return
	}
	if _, err := h.takeLock(strings.Join(args[1:], " ")); err != nil {
		ts.Fatalf("%s cannot be locked: %v", h.name, err)
	}
}

// unlockedCommand: until-unlocked HOST waits until nobody holds a host's lock.
func unlockedCommand(ts *testscript.TestScript, neg bool, args []string) {
	h := ts.Value(fleetKey{}).(*testFleet).host(ts, args[0])
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		release, err := h.takeLock("a test")
		if err == nil {
			release()
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s is still locked: %v", h.name, err)
		}
	}
}

// takeLock holds the host's lock by a session of its own.
func (h *testHost) takeLock(owner string) (release func(), err error) {
	in, toAgent := io.Pipe()
	fromAgent, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- h.agent().Serve(in, out) }()
	release = func() {
		toAgent.Close() //nolint:errcheck // a pipe in memory
		<-ended
	}
	h.held = release
	var hello wire.Hello
	var r wire.Response
	err = errors.Join(wire.Read(fromAgent, &hello),
		wire.Write(toAgent, wire.Request{Lock: &wire.Lock{Owner: owner}}), wire.Read(fromAgent, &r))
	if err == nil && r.Error != nil {
		err = r.Error
	}
	if err != nil {
		release()
	}
	return release, err
}

// exitsCommand: exits CODE COMMAND [ARG]... runs a command that ends with CODE.
func exitsCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG]...")
	}
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Check(err)
		}
		code = exit.ExitCode()
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// runCommand: run CODE SUBCOMMAND [ARG]... runs lvsform with the flags that
// find the script's hosts.
func runCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: run CODE SUBCOMMAND [ARG]...")
	}
	exitsCommand(ts, neg, slices.Concat([]string{args[0], "lvsform", args[1], "--ssh-config", ts.Getenv("SSH"),
		"--agent-dir", ts.Getenv("AGENTS")}, args[2:]))
}

// awaitCommand: await FILE TEXT waits until a file that is being written holds
// the text.
func awaitCommand(ts *testscript.TestScript, neg bool, args []string) {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		switch {
		case err == nil && strings.Contains(string(text), args[1]):
			return
		case time.Now().After(deadline):
			ts.Fatalf("%s does not say %q: %s", args[0], args[1], text)
		}
	}
}

// permCommand: perm MODE FILE checks a file's mode.
func permCommand(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); (got == args[0]) == neg {
		ts.Fatalf("%s has mode %s", args[1], got)
	}
}
