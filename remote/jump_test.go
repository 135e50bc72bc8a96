package remote

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lvsform/lvsform/remote/sshtest"
)

func TestProxyJumpIsReadAsSSHDoes(t *testing.T) {
	for _, c := range []struct {
		text string
		want []hop
		err  bool
	}{
		{text: ""},
		{text: "none"},
		{text: "bastion", want: []hop{{host: "bastion"}}},
		{text: "me@bastion:2222", want: []hop{{user: "me", host: "bastion", port: 2222}}},
		{text: "a, b:22", want: []hop{{host: "a"}, {host: "b", port: 22}}},
		{text: "ssh://me@bastion:2222", want: []hop{{user: "me", host: "bastion", port: 2222}}},
		{text: "[fd00::1]:2222", want: []hop{{host: "fd00::1", port: 2222}}},
		{text: "[fd00::1]", want: []hop{{host: "fd00::1"}}},
		{text: "fd00::1", want: []hop{{host: "fd00::1"}}},
		{text: "a:b", err: true},
		{text: "a:0", err: true},
		{text: "-oProxyCommand=x", err: true},
		{text: "a,,b", err: true},
	} {
		t.Run(c.text, func(t *testing.T) {
			got, err := parseJump(c.text)
			if (err != nil) != c.err {
				t.Fatalf("error: %v", err)
			}
			if c.err {
				return
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(hop{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestHostsShareTheConnectionToTheirJumpHost(t *testing.T) {
	jump := sshtest.Start(t, sshtest.Config{})
	host := &sshtest.Host{Serve: scripted{}.Serve}
	b := newBench(t, sshtest.Config{Exec: host.Exec}, func(s *sshtest.Server, c *Config, target *Target) {
		known, err := os.ReadFile(s.KnownHosts)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.KnownHosts, append(known, jump.KnownLine()...), 0o600); err != nil {
			t.Fatal(err)
		}
		config := fmt.Sprintf("Host bastion\n HostName %s\n Port %d\n IdentityFile %s\n", jump.Host, jump.Port, jump.Identity)
		if err := os.WriteFile(s.SSHConfig, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		target.Jump = "bastion"
	})
	ctx := patient(t)
	const n = 5
	sessions := make([]*Session, n)
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			var err error
			if sessions[i], err = b.dialer.Connect(ctx, b.target); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if t.Failed() {
		return
	}
	if jump.Connections() != 1 || b.server.Connections() != n {
		t.Errorf("connections: %d to the jump host, %d to the host", jump.Connections(), b.server.Connections())
	}
	fresh, err := b.dialer.Fresh().Connect(ctx, b.target)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fresh.Hello(ctx); err != nil {
		t.Error(err)
	}
	fresh.Close()
	if jump.Connections() != 2 {
		t.Errorf("a fresh dialer made no connection of its own to the jump host")
	}
	for _, s := range sessions {
		if _, err := s.Hello(ctx); err != nil {
			t.Error(err)
		}
		s.Close()
	}
	again, err := b.dialer.Connect(ctx, b.target)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if jump.Connections() != 3 {
		t.Errorf("the jump host's connection outlived its last user: %d connections", jump.Connections())
	}
}
