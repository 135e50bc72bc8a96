//go:build lab

package remote

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lvsform/lvsform/wire"
)

func TestOpenSSHAgentIsPlacedAndRun(t *testing.T) {
	const mkdir = `d=/usr/local/libexec/lvsform; mkdir -p -m 755 $d; f=$d/agent-$AGENT_SUM; `
	for _, c := range []struct {
		name  string
		user  string
		sudo  bool
		opts  sshdOptions
		there bool // and need not be placed
	}{
		{name: "root", user: "root"},
		{name: "sudo", user: admin, sudo: true},
		{name: "the real sudo", user: admin, sudo: true, opts: sshdOptions{prepare: `[ -x /usr/bin/sudo ] || { echo "sudo is not installed" >&2; exit 1; }; ` +
			`rm /usr/local/bin/sudo; echo "` + admin + ` ALL=(root) NOPASSWD: ALL" > /run/sudoers; chmod 440 /run/sudoers; ` +
			`mount --bind /run/sudoers /etc/sudoers`}},
		{name: "root of a host without gzip", user: "root", opts: sshdOptions{prepare: `mount --bind /dev/null /usr/bin/gzip`}},
		{name: "the directory is there", user: "root", opts: sshdOptions{prepare: `mkdir -p /usr/local/libexec/lvsform`}},
		{name: "an empty file is there", user: "root", opts: sshdOptions{prepare: mkdir + `: > $f; chmod 700 $f; chmod 05700 $d`}},
		{name: "somebody's file is there", user: "root", opts: sshdOptions{prepare: mkdir + `cp $AGENT_FILE $f; chmod 755 $f; chown 4242 $f`}},
		{name: "a link to somebody's file is there", user: "root", opts: sshdOptions{prepare: mkdir + `cp $AGENT_FILE /run/theirs; ln -s /run/theirs $f`}},
		{name: "it is there, in a directory without the mark", user: "root", there: true,
			opts: sshdOptions{prepare: mkdir + `cp $AGENT_FILE $f; chmod 700 $f $d`}},
		{name: "a login shell that may not run the command", user: "root",
			opts: sshdOptions{config: `ForceCommand exec bash -rc "$SSH_ORIGINAL_COMMAND"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("AGENT_FILE", built(t, "agent"))
			t.Setenv("AGENT_SUM", sumOf(t, built(t, "agent")))
			s := startSSHD(t, c.opts)
			cl := newClient(t, s)
			cl.target.User, cl.target.Sudo = c.user, c.sudo
			for range 2 {
				got, err := cl.bench().observe(t)
				if err != nil {
					t.Fatalf("%v\n%s", err, s.log)
				}
				if diff := cmp.Diff(asked.MissingModules, got.MissingModules); diff != "" {
					t.Error(diff)
				}
			}
			if n := strings.Count(cl.log.String(), "the agent was placed"); n != boolInt(!c.there) {
				t.Errorf("the agent was placed %d times:\n%s", n, cl.log)
			}
			listing := run(t, "ls", "-lnAR", "/proc/"+pidOf(s)+"/root/usr/local/libexec")
			if !strings.Contains(listing, "-rwx------ 1 0 0") || !strings.Contains(listing, "drws-----T 2 0 0") || strings.Contains(listing, ".agent.") {
				t.Errorf("what is left on the host:\n%s", listing)
			}
		})
	}
}

// A file that somebody else put where the agent will be is never run, though it
// has the agent's name: neither by root nor through sudo.
func TestOpenSSHPlantedAgentIsNotRun(t *testing.T) {
	const plant = `umask 022; mkdir -p $d; printf "#!/bin/sh\n: >/run/planted\n" >$d/agent-$AGENT_SUM; chmod 755 $d/agent-$AGENT_SUM; `
	for _, c := range []struct{ name, prepare string }{
		{"somebody's directory", `d=/usr/local/libexec/lvsform; ` + plant + `chown -R 4242 $d`},
		{"somebody's directory with the mark", `d=/usr/local/libexec/lvsform; ` + plant + `chown -R 4242 $d; chmod 5755 $d`},
		{"a directory for everybody", `d=/usr/local/libexec/lvsform; ` + plant + `chmod 1777 $d`},
		{"a link to a directory", `d=/run/theirs; ` + plant + `mkdir -p /usr/local/libexec; ln -s $d /usr/local/libexec/lvsform`},
		{"somebody's parent", `d=/usr/local/libexec/lvsform; ` + plant + `chown 4242 /usr/local/libexec`},
	} {
		for _, user := range []string{"root", admin} {
			t.Run(c.name+", login as "+user, func(t *testing.T) {
				t.Setenv("AGENT_SUM", sumOf(t, built(t, "agent")))
				s := startSSHD(t, sshdOptions{prepare: c.prepare})
				cl := newClient(t, s)
				cl.target.User, cl.target.Sudo = user, user != "root"
				_, err := cl.bench().observe(t)
				var got *AgentError
				if !errors.As(err, &got) || got.Fault != FaultUnsafeDir {
					t.Errorf("want %q, got %v", FaultUnsafeDir, err)
				}
				if _, err := os.Stat("/proc/" + pidOf(s) + "/root/run/planted"); err == nil {
					t.Error("it was run")
				}
			})
		}
	}
}

func TestOpenSSHFaultsOfTheHost(t *testing.T) {
	for _, c := range []struct {
		name string
		user string
		sudo bool
		opts sshdOptions
		want AgentFault
		says string
	}{
		{name: "not root", user: admin, want: FaultNotRoot, says: "uid 4242"},
		{name: "sudo wants a password", user: admin, sudo: true, want: FaultSudoPassword, says: "NOPASSWD",
			opts: sshdOptions{prepare: `echo "sudo: a password is required" >/run/sudo-says`}},
		{name: "no sudo", user: admin, sudo: true, want: FaultSudo, says: "no sudo",
			opts: sshdOptions{config: "SetEnv PATH=/run/bin", prepare: `mkdir /run/bin; ln -s /bin/sh /usr/bin/env /run/bin/`}},
		{name: "no space", user: "root", want: FaultNoSpace, says: "No space left on device",
			opts: sshdOptions{prepare: `mkdir /usr/local/libexec; mount -t tmpfs -o size=64k,mode=755 tmpfs /usr/local/libexec`}},
		{name: "read-only", user: "root", want: FaultReadOnly, opts: sshdOptions{mount: "ro"}},
		{name: "noexec", user: "root", want: FaultNoExec, says: "noexec", opts: sshdOptions{mount: "noexec"}},
		{name: "somebody's directory", user: "root", want: FaultUnsafeDir, says: "/usr/local/libexec/lvsform must be",
			opts: sshdOptions{prepare: `mkdir -p /usr/local/libexec/lvsform; chown 4242 /usr/local/libexec/lvsform`}},
		{name: "everybody's directory", user: "root", want: FaultUnsafeDir,
			opts: sshdOptions{prepare: `mkdir -p /usr/local/libexec/lvsform; chmod 1777 /usr/local/libexec/lvsform`}},
		{name: "a link in place of the directory", user: "root", want: FaultUnsafeDir,
			opts: sshdOptions{prepare: `mkdir -p /usr/local/libexec /run/x; ln -s /run/x /usr/local/libexec/lvsform`}},
		{name: "the parent is everybody's", user: "root", want: FaultUnsafeDir,
			opts: sshdOptions{prepare: `mkdir -p /usr/local/libexec; chmod 777 /usr/local/libexec`}},
		{name: "the shell prints a greeting", user: "root", want: FaultGarbage, says: "Welcome",
			opts: sshdOptions{config: `ForceCommand echo Welcome; exec sh -c "$SSH_ORIGINAL_COMMAND"`}},
		{name: "an account without a shell", user: "nobody", want: FaultGarbage, says: "not available"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startSSHD(t, c.opts)
			cl := newClient(t, s)
			cl.target.User, cl.target.Sudo = c.user, c.sudo
			_, err := cl.bench().observe(t)
			var got *AgentError
			if !errors.As(err, &got) {
				t.Fatalf("want an *AgentError, got %v\n%s", err, s.log)
			}
			if got.Fault != c.want || !strings.Contains(err.Error(), c.says) {
				t.Errorf("want %q with %q, got %q: %s", c.want, c.says, got.Fault, err)
			}
			t.Log(err)
		})
	}
}

func TestOpenSSHAgentDiesOrHangs(t *testing.T) {
	s := startSSHD(t, sshdOptions{})
	cl := newClient(t, s)
	if _, err := cl.bench().observe(t); err != nil {
		t.Fatal(err)
	}
	cl.config.Timeout = time.Second
	lock := func(owner string) error {
		ctx := patient(t)
		session, err := New(cl.config).Connect(ctx, cl.target)
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		return session.Lock(ctx, owner)
	}
	var ended *AgentError
	if err := lock("die"); !errors.As(err, &ended) || ended.Fault != FaultEnded || !strings.HasPrefix(ended.Stderr, "last words") {
		t.Errorf("killed: got %v", err)
	}
	var slow *TimeoutError
	if err := lock("hang"); !errors.As(err, &slow) {
		t.Errorf("hanging: got %v", err)
	}
	var refused *wire.Error
	ctx := patient(t)
	session, err := New(cl.config).Connect(ctx, cl.target)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if _, err := session.Leave(ctx, "web"); !errors.As(err, &refused) {
		t.Errorf("refused: got %v", err)
	}
	s.stop() // the host dies in the middle
	var lost *LostError
	if err := session.Lock(ctx, "me"); !errors.As(err, &lost) {
		t.Errorf("dead host: got %v", err)
	}
	var dial *DialError
	if _, err := New(cl.config).Connect(ctx, cl.target); !errors.As(err, &dial) || dial.Reason != DialRefused {
		t.Errorf("no host: got %v", err)
	}
}
