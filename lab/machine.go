package lab

import (
	"context"
	_ "embed" // the init script
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

//go:embed machine.sh
var machineScript []byte

func machineDisk() ramDisk {
	// ext4 asks for crc32c itself, but of a program that is not there yet.
	return ramDisk{"machine", machineScript, append(bootModules[:], "virtio_blk", "?crc32c_generic", "ext4")}
}

// machine is a host that has a virtual machine to itself: its own kernel, a
// systemd, and a disk that survives a reset.
type machine struct {
	spec  buildHost
	index int
	dir   string
	// far is how requests reach it: the control channel of Guest, with the
	// machine itself in the place of the guest.
	far *Guest

	ssh, control int // ports on 127.0.0.1
	cable        []*port
}

const (
	machineMemory = 512 // MiB
	machineDiskMB = 512 // sparse
	// upTime is how long an emulated machine may take until systemd is done.
	upTime = 3 * time.Minute
)

// BuildMachines is Build with a machine for each declared host, which boots a
// systemd of its own and keeps its files over a Reset. Clients and routers stay
// namespaces of this machine. Options.Wires bounds the networks; of the labs that
// it makes one can be up at a time.
func (g *Guest) BuildMachines(ctx context.Context, c Config) (*Lab, error) {
	if len(c.Networks) > len(g.wires) {
		return nil, fmt.Errorf("the lab has %d networks, its machine wires for %d: set Options.Wires", len(c.Networks), len(g.wires))
	}
	if err := requireMachines(); err != nil {
		return nil, err
	}
	initrd, err := g.image.ensureInitrd(machineDisk())
	if err != nil {
		return nil, err
	}
	l := &Lab{Config: c, guest: g, ports: map[string]int{}, machines: map[string]*machine{}}
	b := &build{Networks: len(c.Networks), Wired: true}
	if err := g.reserve(l, b); err != nil {
		return nil, err
	}
	ports, err := freePorts(2 * len(c.Hosts))
	if err != nil {
		return nil, errors.Join(err, l.forget())
	}
	for i, h := range b.Hosts {
		if h.Role == Declared {
			l.ports[h.Name] = ports[2*i]
			l.machines[h.Name] = &machine{index: i, ssh: ports[2*i], control: ports[2*i+1]}
		}
	}
	if err := l.writeSSH(ctx, b); err != nil {
		return nil, errors.Join(fmt.Errorf("make the lab's SSH keys: %w", err), l.forget())
	}
	if err := l.takeMachines(ctx, b, initrd); err != nil {
		return nil, errors.Join(err, l.Down(ctx))
	}
	if _, err := g.call(ctx, request{Op: opBuild, Lab: l.id, Build: b}, nil, nil); err != nil {
		return nil, errors.Join(fmt.Errorf("build the lab's hosts: %w", err), l.Down(ctx))
	}
	if err := l.Reset(ctx, l.Machines()...); err != nil {
		return nil, errors.Join(err, l.Down(ctx))
	}
	return l, nil
}

// requireMachines says what has to be installed besides what every lab needs.
func requireMachines() error {
	var missing []string
	if _, err := program("mkfs.ext4"); err != nil {
		missing = append(missing, "e2fsprogs")
	}
	for _, path := range []string{"/lib/systemd/systemd", "/lib/systemd/systemd-networkd"} {
		if _, err := os.Stat(path); err != nil {
			missing = append(missing, "systemd")
			break
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("machines of the lab need programs that are not installed: apt-get install --yes --no-install-recommends %s",
			strings.Join(missing, " "))
	}
	return nil
}

// takeMachines takes the declared hosts out of a build, and makes what their
// machines need to boot.
func (l *Lab) takeMachines(ctx context.Context, b *build, initrd string) error {
	var rest []buildHost
	for _, spec := range b.Hosts {
		m := l.machines[spec.Name]
		if m == nil {
			rest = append(rest, spec)
			continue
		}
		m.spec, m.dir = spec, filepath.Join(l.dir, fmt.Sprintf("machine-%d", m.index))
		if err := m.prepare(ctx, l.guest, b.Authorized, initrd); err != nil {
			return fmt.Errorf("machine %s: %w", spec.Name, err)
		}
	}
	b.Hosts = rest
	return nil
}

// prepare makes the disk and the boot's own files.
func (m *machine) prepare(ctx context.Context, g *Guest, authorized, initrd string) error {
	if err := os.Mkdir(m.dir, 0o700); err != nil {
		return err
	}
	token, err := random()
	if err != nil {
		return err
	}
	id, err := random()
	if err != nil {
		return err
	}
	m.far = &Guest{state: guestState{Token: token, Control: m.control}, options: g.options, image: g.image, accel: g.accel, wires: g.wires}
	files, err := seed(m.spec, authorized, id, g.options.command())
	if err != nil {
		return err
	}
	config, err := json.Marshal(bootConfig{Token: token, Control: guestPort, Machine: m.spec.Name})
	if err != nil {
		return err
	}
	list := append(archiveOf("seed", files), archived{name: "boot.sh", mode: 0o644, data: []byte(m.script())},
		archived{name: "boot.json", mode: 0o600, data: config})
	if err := addToRAMDisk(initrd, filepath.Join(m.dir, "initrd"), list); err != nil {
		return err
	}
	return m.makeDisk(ctx)
}

// script is what machine.sh reads. NICs are renamed in two steps: one may be to
// have the name that another one comes with.
func (m *machine) script() string {
	var b strings.Builder
	fmt.Fprintf(&b, "modules=%s\nhidden=%s\nrename() {\n", quote(m.far.image.modules), quote(strings.Join(hidden(), " ")))
	fmt.Fprintf(&b, "name eth0 %s\n", management)
	for i := range m.spec.Interfaces {
		fmt.Fprintf(&b, "name eth%d wire%d\n", i+1, i)
	}
	for i, nic := range m.spec.Interfaces {
		fmt.Fprintf(&b, "name wire%d %s\n", i, quote(nic.Name))
	}
	return b.String() + "}\n"
}

func (m *machine) makeDisk(ctx context.Context) error {
	disk := filepath.Join(m.dir, "disk")
	f, err := os.Create(disk)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(machineDiskMB<<20), f.Close()); err != nil {
		return err
	}
	mkfs, err := program("mkfs.ext4")
	if err != nil {
		return err
	}
	// What is not written now, the emulated machine would write behind our back.
	return run(ctx, m.dir, mkfs, "-q", "-F", "-N", "8192", "-E", "lazy_itable_init=0,lazy_journal_init=0", disk)
}

// Machines lists the hosts that are machines of their own.
func (l *Lab) Machines() []string {
	var names []string
	for _, h := range l.Config.Hosts {
		if l.machines[h.Name] != nil {
			names = append(names, h.Name)
		}
	}
	return names
}

// Reset cuts the power of machines, all at once, and boots them again. It returns
// when systemd has started everything that it was to start; a unit that failed is
// an error.
func (l *Lab) Reset(ctx context.Context, hosts ...string) error {
	ctx, cancel := context.WithTimeout(ctx, upTime)
	defer cancel()
	if err := l.PowerOff(hosts...); err != nil {
		return err
	}
	if err := l.PowerOn(hosts...); err != nil {
		return err
	}
	return l.AwaitUp(ctx, hosts...)
}

// PowerOff cuts the power of machines: nothing is shut down, and what the kernel
// has not written to disk is lost.
func (l *Lab) PowerOff(hosts ...string) error {
	machines, err := l.pick(hosts)
	for _, m := range machines {
		m.off()
	}
	return err
}

// PowerOn starts machines that are off.
func (l *Lab) PowerOn(hosts ...string) error {
	machines, err := l.pick(hosts)
	if err != nil {
		return err
	}
	for _, m := range machines {
		if err := m.on(); err != nil {
			return fmt.Errorf("machine %s: %w", m.spec.Name, err)
		}
	}
	return nil
}

// AwaitUp returns when machines have booted. A unit of theirs that failed is an
// error.
func (l *Lab) AwaitUp(ctx context.Context, hosts ...string) error {
	machines, err := l.pick(hosts)
	if err != nil {
		return err
	}
	var wait sync.WaitGroup
	errs := make([]error, len(machines))
	for i, m := range machines {
		wait.Go(func() {
			if err := m.await(ctx); err != nil {
				errs[i] = fmt.Errorf("machine %s: %w", m.spec.Name, err)
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// Console is what a machine has printed since the lab was made.
func (l *Lab) Console(host string) (string, error) {
	machines, err := l.pick([]string{host})
	if err != nil {
		return "", err
	}
	said, err := os.ReadFile(machines[0].console())
	return string(said), err
}

func (l *Lab) pick(hosts []string) ([]*machine, error) {
	var list []*machine
	for _, h := range hosts {
		m := l.machines[h]
		if m == nil {
			return nil, fmt.Errorf("%s is no machine of its own: those are %s", h, strings.Join(l.Machines(), ", "))
		}
		list = append(list, m)
	}
	return list, nil
}

func (m *machine) console() string { return filepath.Join(m.dir, "console") }

func (m *machine) off() {
	if m.far != nil && m.far.qemu != nil {
		m.far.qemu.kill()
		m.far.qemu = nil
	}
	for _, p := range m.cable {
		_ = p.unplug() // its machine has gone
	}
	m.cable = nil
}

func (m *machine) on() error {
	if m.far.qemu != nil {
		return errors.New("it is on")
	}
	var nics []nic
	defer func() { closeNICs(nics) }()
	for i, n := range m.spec.Interfaces {
		p, far, err := m.far.wires[n.Network].plug()
		if err != nil {
			return err
		}
		m.cable = append(m.cable, p)
		nics = append(nics, nic{far, fmt.Sprintf("52:54:00:01:%02x:%02x", m.index, i)})
	}
	var err error
	m.far.qemu, err = startQEMU(m.qemuArgs(), nics, false)
	return err
}

func (m *machine) qemuArgs() []string {
	// The host's page cache outlives QEMU, so nothing has to be flushed.
	disk := "if=none,id=disk,format=raw,cache=unsafe,file=" + filepath.Join(m.dir, "disk")
	reach := fmt.Sprintf("user,model=virtio-net-pci,restrict=on,hostfwd=tcp:127.0.0.1:%d-%s:%d,hostfwd=tcp:127.0.0.1:%d-%s:22",
		m.far.state.Control, guestAddress, guestPort, m.ssh, guestAddress)
	return append(commonArgs(m.far.accel), "-smp", "1", "-m", fmt.Sprint(machineMemory),
		"-kernel", m.far.image.kernel, "-initrd", filepath.Join(m.dir, "initrd"),
		"-append", kernelArgs+" loglevel=4 systemd.show_status=1",
		"-chardev", "file,id=console,append=on,path="+m.console(), "-serial", "chardev:console",
		"-drive", disk, "-device", "virtio-blk-pci,drive=disk", "-nic", reach)
}

// await asks until systemd says that it has done all that booting is.
func (m *machine) await(ctx context.Context) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if state := m.state(ctx); state != "" {
			return m.judge(ctx, state)
		}
		qemu := m.far.qemu
		if qemu == nil {
			return errors.New("it is off")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			said, _ := os.ReadFile(m.console())
			return fmt.Errorf("does not come up: %w; its console: %s", ctx.Err(), tail(said))
		case <-qemu.done:
			said, _ := os.ReadFile(m.console())
			return fmt.Errorf("QEMU ended: %v: %s; its console: %s", qemu.err, qemu.said(), tail(said))
		}
	}
}

// answerTime is how long a machine may take to answer a question. One that
// crashes never does: it leaves its connections open.
const answerTime = 20 * time.Second

// state is what systemd says of itself, or "" while it boots.
func (m *machine) state(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	r, err := m.far.exec(ctx, request{Op: opExec, Argv: []string{"systemctl", "is-system-running"}})
	switch said := strings.TrimSpace(string(r.Stdout)); said {
	case "initializing", "starting", "offline":
		return ""
	default:
		if err != nil {
			return ""
		}
		return said
	}
}

func (m *machine) judge(ctx context.Context, said string) error {
	if said == "running" {
		return nil
	}
	r, err := m.far.exec(ctx, request{Op: opExec, Argv: []string{"sh", "-c",
		"systemctl --no-pager --plain --no-legend --failed; systemctl list-jobs --no-pager; journalctl -b --no-pager -p notice | tail -n 30"}})
	return errors.Join(fmt.Errorf("systemd says %q: %s", said, r.Stdout), err)
}
