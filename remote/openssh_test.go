//go:build lab

package remote

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sshd is an OpenSSH server on the loopback, with /usr/local, /run, home
// directories and the user database of its own (a mount namespace), whose end is the end of all its
// sessions (a process namespace).
type sshd struct {
	dir  string
	port int
	cmd  *exec.Cmd
	log  *bytes.Buffer
}

// sshdOptions say what is unusual about a server.
type sshdOptions struct {
	config  string // lines of sshd_config
	mount   string // options of the file system at /usr/local
	prepare string // shell commands, run before sshd in its namespace
}

// admin is a login that is not root, in every sshd's namespace.
const admin = "lvsadmin"

const prelude = `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -m 755 /run/sshd /run/home
mount -t tmpfs tmpfs /usr/local
mkdir -p /usr/local/bin
cp "$STAND_IN_SUDO" /usr/local/bin/sudo; chmod 4755 /usr/local/bin/sudo
%s
[ -z "%s" ] || mount -o remount,%s /usr/local
cp /etc/shadow /run/
sed 's,^root:.*,root:x:0:0::/run/home:/bin/sh,' /etc/passwd > /run/passwd
echo '` + admin + `:x:4242:4242::/run/home:/bin/sh' >> /run/passwd
echo '` + admin + `:*:19000:0:99999:7:::' >> /run/shadow
mount --bind /run/passwd /etc/passwd
mount --bind /run/shadow /etc/shadow
exec /usr/sbin/sshd -D -e -f "$1"
`

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func write(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// keygen makes a key, and returns its path.
func keygen(t testing.TB, dir, name, kind string, more ...string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	args := append([]string{"-q", "-t", kind, "-f", path, "-C", name}, more...)
	if len(more) == 0 {
		args = append(args, "-N", "")
	}
	run(t, "ssh-keygen", args...)
	return path
}

// startSSHD starts a server that lets dir/authorized_keys in.
func startSSHD(t testing.TB, o sshdOptions) *sshd {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("these tests start sshd with a mount namespace of its own: run them as root")
	}
	s := &sshd{dir: t.TempDir(), port: freePort(t), log: &bytes.Buffer{}}
	for _, dir := range []string{s.dir, filepath.Dir(s.dir)} { // sshd reads them as the user
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	config := fmt.Sprintf("ListenAddress 127.0.0.1:%d\nAuthorizedKeysFile %s/authorized_keys\nPidFile none\nUsePAM no\n"+
		"StrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nMaxStartups 500\n%s\n",
		s.port, s.dir, o.config)
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		for _, end := range []string{"", ".pub"} {
			write(t, s.file("host_"+kind+end), read(t, hostKey(t, kind)+end))
		}
		config += "HostKey " + s.file("host_"+kind) + "\n"
	}
	write(t, filepath.Join(s.dir, "authorized_keys"), "")
	script := fmt.Sprintf(prelude, o.prepare, o.mount, o.mount)
	s.cmd = exec.Command("unshare", "-m", "-p", "-f", "--kill-child", "sh", "-c", script, "sh", write(t, filepath.Join(s.dir, "sshd_config"), config))
	s.cmd.Env = append(os.Environ(), "STAND_IN_SUDO="+standInSudo(t))
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	s.cmd.Stderr, s.cmd.WaitDelay = s.log, time.Second
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	s.await(t)
	return s
}

func (s *sshd) stop() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	_ = s.cmd.Wait()
}

func (s *sshd) await(t testing.TB) {
	t.Helper()
	await(t, "sshd listens", func() error {
		c, err := net.Dial("tcp", s.address())
		if err == nil {
			c.Close()
		}
		return err
	})
}

// await waits for a condition.
func await(t testing.TB, what string, try func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatalf("waited in vain until %s: %v", what, err)
}

func (s *sshd) address() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

func (s *sshd) file(name string) string { return filepath.Join(s.dir, name) }

// authorize lets a public key in.
func (s *sshd) authorize(t testing.TB, public string) {
	t.Helper()
	f := s.file("authorized_keys")
	write(t, f, read(t, f)+read(t, public))
	if err := os.Chmod(f, 0o644); err != nil {
		t.Fatal(err)
	}
}

// known is the server's known_hosts line for one of its keys.
func (s *sshd) known(t testing.TB, kind string) string {
	t.Helper()
	key := strings.Fields(read(t, s.file("host_"+kind+".pub")))
	return fmt.Sprintf("[127.0.0.1]:%d %s %s\n", s.port, key[0], key[1])
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// goBuild builds a program of testdata.
func goBuild(t testing.TB, program, out string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-o", out, "./testdata/"+program)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", program, err, text)
	}
}

// shared are the files that are made once for all tests.
var shared = map[string]string{}

// standInSudo is a set-user-ID program that does what `sudo -n` does.
func standInSudo(t testing.TB) string {
	t.Helper()
	return built(t, "sudo")
}

// built builds a program once for all tests.
func built(t testing.TB, program string) string {
	t.Helper()
	if path := shared[program]; path != "" {
		return path
	}
	dir, err := os.MkdirTemp("", "lvsform-remote-test-")
	if err != nil {
		t.Fatal(err)
	}
	shared[program] = filepath.Join(dir, program)
	goBuild(t, program, shared[program])
	return shared[program]
}

// hostKey makes a host key once for all tests: an RSA key takes its time.
func hostKey(t testing.TB, kind string) string {
	t.Helper()
	name := "host_" + kind
	if shared[name] == "" {
		dir, err := os.MkdirTemp("", "lvsform-remote-test-")
		if err != nil {
			t.Fatal(err)
		}
		shared[name] = keygen(t, dir, name, kind)
	}
	return shared[name]
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, path := range shared {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// client is what a person has: keys, files, flags.
type client struct {
	dir    string
	config Config
	target Target
	log    *bytes.Buffer
}

// newClient makes a client that root's door of a server is open to.
func newClient(t testing.TB, s *sshd) *client {
	t.Helper()
	t.Setenv("SSH_AUTH_SOCK", "")
	c := &client{dir: t.TempDir(), log: &bytes.Buffer{}}
	agents := filepath.Join(c.dir, "agents")
	if err := os.Mkdir(agents, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(agents, "lvsform-agent-linux-amd64"), read(t, built(t, "agent")))
	key := keygen(t, c.dir, "id", "ed25519")
	s.authorize(t, key+".pub")
	c.config = Config{
		SSHConfig:  write(t, filepath.Join(c.dir, "ssh_config"), ""),
		KnownHosts: write(t, filepath.Join(c.dir, "known_hosts"), s.known(t, "ed25519")),
		Identity:   key,
		AgentDir:   agents,
		Timeout:    10 * time.Second,
		Log:        slog.New(slog.NewTextHandler(c.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	c.target = Target{Name: "rs1", Address: "127.0.0.1", Port: s.port, User: "root"}
	return c
}

func (c *client) bench() *bench { return &bench{dialer: New(c.config), target: c.target, log: c.log} }

func pidOf(s *sshd) string { return strconv.Itoa(s.cmd.Process.Pid) }

func sumOf(t testing.TB, path string) string {
	t.Helper()
	sum, _, _ := strings.Cut(run(t, "sha256sum", path), " ")
	return sum
}
