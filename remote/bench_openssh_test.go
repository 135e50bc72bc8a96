//go:build lab

package remote

import (
	"context"
	"flag"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/lvsform/lvsform/wire"
)

var fleetSize = flag.Int("fleet", 50, "the number of OpenSSH servers that BenchmarkFleet starts")

// fleetWidth is how many hosts are spoken to at a time.
const fleetWidth = 64

// BenchmarkFleet compares one command over a fleet (connect, run the agent,
// observe) with the floor: a minimal client that connects and runs true.
func BenchmarkFleet(b *testing.B) {
	fleet := make([]*sshd, *fleetSize)
	known := ""
	for i := range fleet {
		fleet[i] = startSSHD(b, sshdOptions{})
		known += fleet[i].known(b, "ed25519")
	}
	cl := newClient(b, fleet[0])
	write(b, cl.config.KnownHosts, known)
	cl.config.Log = nil
	for _, s := range fleet[1:] {
		s.authorize(b, cl.config.Identity+".pub")
	}
	every(fleet, func(s *sshd) error { return observeOnce(New(cl.config), cl.target, s) }) // places the agents
	configs := map[string]string{
		"empty": "",
		"hosts": "Host lb*\n User nobody\nHost 127.*\n User root\nHost *\n ServerAliveInterval 5\n",
		"match": "Match host nothing\n User nobody\n",
	}
	b.Run("floor", func(b *testing.B) {
		measure(b, fleet, func() func(*sshd) error { return floor(b, cl, known) })
	})
	for _, name := range []string{"empty", "hosts", "match"} {
		write(b, cl.config.SSHConfig, configs[name])
		b.Run("observe/ssh_config="+name, func(b *testing.B) {
			measure(b, fleet, func() func(*sshd) error {
				d := New(cl.config) // as a new process: it knows nothing
				return func(s *sshd) error { return observeOnce(d, cl.target, s) }
			})
		})
	}
}

func measure(b *testing.B, fleet []*sshd, prepare func() func(*sshd) error) {
	before := cpuTime()
	for b.Loop() {
		if errs := every(fleet, prepare()); len(errs) > 0 {
			b.Fatalf("%d hosts failed: %v", len(errs), errs[0])
		}
	}
	b.ReportMetric((cpuTime()-before).Seconds()*1000/float64(b.N), "cpu-ms/op")
}

// cpuTime is what this process and the ssh processes that it ran have used.
func cpuTime() time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			panic(err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}

func every(fleet []*sshd, do func(*sshd) error) (errs []error) {
	var mu sync.Mutex
	var wait sync.WaitGroup
	slots := make(chan struct{}, fleetWidth)
	for _, s := range fleet {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			if err := do(s); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	return errs
}

func observeOnce(d *Dialer, target Target, s *sshd) error {
	target.Port = s.port
	session, err := d.Connect(context.Background(), target)
	if err != nil {
		return err
	}
	defer session.Close()
	_, err = session.Observe(context.Background(), wire.Observe{})
	return err
}

// floor is the least that anybody can do: x/crypto/ssh with the host key at
// hand, and true in place of the agent.
func floor(b *testing.B, cl *client, known string) func(*sshd) error {
	signer, err := ssh.ParsePrivateKey([]byte(read(b, cl.config.Identity)))
	if err != nil {
		b.Fatal(err)
	}
	_, _, key, _, _, err := ssh.ParseKnownHosts([]byte(known))
	if err != nil {
		b.Fatal(err)
	}
	config := &ssh.ClientConfig{User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519}, HostKeyCallback: ssh.FixedHostKey(key)}
	config.KeyExchanges = []string{ssh.KeyExchangeECDHP256}
	return func(s *sshd) error {
		client, err := ssh.Dial("tcp", s.address(), config)
		if err != nil {
			return err
		}
		defer client.Close()
		session, err := client.NewSession()
		if err != nil {
			return err
		}
		return session.Run("true")
	}
}
