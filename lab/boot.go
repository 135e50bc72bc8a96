package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Options say how a machine is booted; the zero Options are good ones.
type Options struct {
	// Cache keeps the kernel between runs; "" is lvsform/lab in the user's
	// cache directory.
	Cache string
	// Dir takes what one boot needs; "" is a temporary one that Close removes.
	Dir string
	// Program runs the guest's side; nil is this program with the arguments
	// "lab guest". Its file must not lie below /run.
	Program []string
	// Detach lets the machine outlive this process; see Attach.
	Detach bool
	// Memory of the machine in MiB; 0 is 3072.
	Memory int
	// Wires is how many networks the hosts that BuildMachines makes can have.
	Wires int
	// Progress hears what is going on; nil is nobody.
	Progress func(string)
}

// Guest is a booted machine without hosts.
type Guest struct {
	state     guestState
	dir       string
	temporary bool
	qemu      *process // nil after Attach
	options   Options
	image     image
	accel     string
	wires     []*ethernet

	mu     sync.Mutex
	used   map[int]bool // ports that hosts have, by index into state.SSH
	labs   int
	closed bool
}

// guestState is what another process needs to use a detached machine.
type guestState struct {
	PID     int
	Token   string
	Control int   // port on 127.0.0.1
	SSH     []int // ports on 127.0.0.1
	Lab     *labState
}

const (
	maxHosts    = 64   // forwarded SSH ports, so hosts at a time
	guestPort   = 7000 // control in the guest; SSH follows
	bootTimeout = 90 * time.Second
	// kvmPatience is how long a kernel that KVM runs may take to say a word.
	// An emulated one takes less.
	kvmPatience = 5 * time.Second
	readyLine   = "lvsform-lab: ready"
	stateFile   = "state.json"
)

func (o Options) withDefaults() (Options, error) {
	if o.Cache == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			base = "/var/cache"
		}
		o.Cache = filepath.Join(base, "lvsform", "lab")
	}
	if len(o.Program) == 0 {
		self, err := os.Executable()
		if err != nil {
			return o, err
		}
		o.Program = append([]string{self}, guestArgs[:]...)
	}
	if o.Memory == 0 {
		o.Memory = 3072
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return o, nil
}

// Boot starts a machine. It is gone when Close returns, and, unless detached,
// also when this process ends in any way.
func Boot(ctx context.Context, o Options) (*Guest, error) {
	if err := require(); err != nil {
		return nil, err
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	img, err := ensureImage(ctx, o.Cache, o.Progress)
	if err != nil {
		return nil, err
	}
	g := &Guest{dir: o.Dir, options: o, image: img, used: map[int]bool{}}
	if o.Dir == "" {
		g.temporary = true
		if g.dir, err = os.MkdirTemp("", "lvsform-lab-"); err != nil {
			return nil, err
		}
	} else if err := takeDir(o.Dir); err != nil {
		return nil, err
	}
	o.Progress("booting a machine")
	if err := g.boot(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("boot the lab: %w", err), g.Close())
	}
	return g, nil
}

// DefaultDir is where a detached lab is kept when nobody says otherwise.
func DefaultDir() (string, error) {
	o, err := Options{}.withDefaults()
	return filepath.Join(o.Cache, "up"), err
}

// takeDir makes the directory of a boot, which no running machine may have.
func takeDir(dir string) error {
	if l, err := Attach(dir); err == nil {
		return fmt.Errorf("a lab (%s) is up in %s: take it down first (lvsform lab down)", l.Config.Name, dir)
	}
	return os.MkdirAll(dir, 0o700)
}

func (g *Guest) boot(ctx context.Context) error {
	var err error
	if g.state.Token, err = random(); err != nil {
		return err
	}
	if err := g.writeBootDisk(); err != nil {
		return err
	}
	verdict := filepath.Join(g.options.Cache, "kvm-fails-"+kernelRelease())
	if kvmWorth(verdict) {
		err := g.start(ctx, "kvm", kvmPatience)
		if err == nil || ctx.Err() != nil {
			return err
		}
		g.options.Progress("KVM does not work here (" + firstLine(err) + "): emulating")
		if err := os.WriteFile(verdict, []byte(err.Error()+"\n"), 0o644); err != nil {
			return err
		}
	}
	err = g.start(ctx, emulation, bootTimeout)
	if errors.Is(err, errSilent) && ctx.Err() == nil {
		// Where more machines than processors are emulated, a kernel now and
		// then stops while it looks at its own.
		g.options.Progress("the machine does not come up: booting it again")
		err = g.start(ctx, emulation, bootTimeout)
	}
	return err
}

// emulation is QEMU's accelerator where KVM does not work.
const emulation = "tcg,thread=multi"

// errSilent is a machine that says nothing more.
var errSilent = errors.New("no answer")

// random is a word that nobody guesses.
func random() (string, error) {
	b := make([]byte, 16)
	_, err := rand.Read(b)
	return hex.EncodeToString(b), err
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// kvmWorth tells whether to try KVM: it may be there and not work.
func kvmWorth(verdict string) bool {
	if _, err := os.Stat(verdict); err == nil {
		return false
	}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	return f.Close() == nil
}

// writeBootDisk writes what is the boot's own.
func (g *Guest) writeBootDisk() error {
	config, err := json.Marshal(bootConfig{Token: g.state.Token, Control: guestPort})
	if err != nil {
		return err
	}
	script := "modules=" + quote(g.image.modules) + "\nprogram=" + quote(g.options.command()+" </dev/null >/dev/ttyS0 2>&1") + "\n"
	return addToRAMDisk(g.image.initrd, filepath.Join(g.dir, "initrd"), []archived{
		{name: "boot.sh", mode: 0o644, data: []byte(script)}, {name: "boot.json", mode: 0o600, data: config}})
}

// command is the program of the guest's side as a line of the shell's.
func (o Options) command() string {
	words := make([]string, len(o.Program))
	for i, w := range o.Program {
		words[i] = quote(w)
	}
	return strings.Join(words, " ")
}

// addToRAMDisk adds a boot's own files to a RAM disk that boots share: the
// kernel reads archives one after the other. Secrets stay out of the process
// list this way.
func addToRAMDisk(from, to string, files []archived) error {
	shared, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	b := bytes.NewBufferString(pad(string(shared)))
	if err := writeArchive(b, files); err != nil {
		return err
	}
	return os.WriteFile(to, b.Bytes(), 0o600)
}

// quote makes one word of the shell's of any text.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// start runs QEMU and waits until the guest's side listens. The first word on
// the console has to come within patience.
func (g *Guest) start(ctx context.Context, accel string, patience time.Duration) error {
	ports, err := freePorts(1 + maxHosts)
	if err != nil {
		return err
	}
	g.state.Control, g.state.SSH = ports[0], ports[1:]
	console := filepath.Join(g.dir, "console")
	if err := os.WriteFile(console, nil, 0o600); err != nil {
		return err
	}
	nics, err := g.plugWires()
	if err != nil {
		return err
	}
	defer closeNICs(nics) // QEMU has them
	if g.qemu, err = startQEMU(g.qemuArgs(accel), nics, g.options.Detach); err != nil {
		return err
	}
	g.state.PID, g.accel = g.qemu.pid(), accel
	if err := g.await(ctx, console, patience); err != nil {
		g.qemu.kill()
		return err
	}
	return g.save()
}

// plugWires makes the networks that leave the machine, and its ends of them.
func (g *Guest) plugWires() ([]nic, error) {
	for _, w := range g.wires {
		w.close()
	}
	g.wires = nil
	var nics []nic
	for i := range g.options.Wires {
		g.wires = append(g.wires, newEthernet())
		_, far, err := g.wires[i].plug()
		if err != nil {
			closeNICs(nics)
			return nil, err
		}
		nics = append(nics, nic{far, fmt.Sprintf("52:54:00:00:00:%02x", i)})
	}
	return nics, nil
}

func (g *Guest) qemuArgs(accel string) []string {
	nic := "user,model=virtio-net-pci,restrict=on"
	for i, p := range append([]int{g.state.Control}, g.state.SSH...) {
		nic += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-%s:%d", p, guestAddress, guestPort+i)
	}
	return append(commonArgs(accel), "-smp", "2", "-m", fmt.Sprint(g.options.Memory), "-no-reboot",
		"-kernel", g.image.kernel, "-initrd", filepath.Join(g.dir, "initrd"),
		"-append", kernelArgs+" loglevel=6",
		"-serial", "file:"+filepath.Join(g.dir, "console"), "-nic", nic)
}

// await watches the console for the guest's word that it listens.
func (g *Guest) await(ctx context.Context, console string, patience time.Duration) error {
	started := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		said, _ := os.ReadFile(console)
		switch waited := time.Since(started); {
		case bytes.Contains(said, []byte(readyLine)):
			return nil
		case len(said) == 0 && waited > patience, waited > bootTimeout:
			return fmt.Errorf("%w after %s; its console: %s", errSilent, waited.Round(time.Second), tail(said))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-g.qemu.done:
			said, _ = os.ReadFile(console)
			return fmt.Errorf("QEMU ended: %w: %s; its console: %s", errors.Join(g.qemu.err, io.ErrUnexpectedEOF), g.qemu.said(), tail(said))
		}
	}
}

// tail is the end of a console, where the trouble stands.
func tail(b []byte) string {
	const most = 2000
	if len(b) > most {
		b = b[len(b)-most:]
	}
	return strings.TrimSpace(string(b))
}

func (g *Guest) save() error {
	data, err := json.Marshal(g.state)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(g.dir, stateFile), data, 0o600)
}

// Dir is where the machine keeps its files; its console is there, too.
func (g *Guest) Dir() string { return g.dir }

// Close ends the machine and removes what Boot wrote, except the cache.
func (g *Guest) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil
	}
	g.closed = true
	if g.qemu != nil {
		g.qemu.kill()
	} else if err := killDetached(g.state.PID, g.dir); err != nil {
		return err
	}
	for _, w := range g.wires {
		w.close()
	}
	if g.temporary {
		return os.RemoveAll(g.dir)
	}
	for _, pattern := range []string{"initrd", "console", "lab-*", stateFile} {
		found, _ := filepath.Glob(filepath.Join(g.dir, pattern))
		for _, f := range found {
			if err := os.RemoveAll(f); err != nil {
				return err
			}
		}
	}
	os.Remove(g.dir) // only when nothing else is in it
	return nil
}
