//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/lvsform/lvsform/agent/ipvs"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// tableJob is a table to bring about in this process's network namespace.
type tableJob struct {
	agent string
	want  state.Objects
}

// run does what the kind says and returns how long that took, without what is
// prepared for it.
func (j tableJob) run(kind string) (time.Duration, error) {
	switch kind {
	case "create-ipvsadm":
		lines := j.forIpvsadm()
		return j.checked(func() error { return ipvsadm(lines, "-R") })
	case "create-agent":
		return j.checked(j.createByAgent)
	case "create-package":
		return j.checked(j.createByPackage)
	case "read-ipvsadm":
		return j.filled(func() error { return ipvsadm("", "-Sn") })
	case "read-agent":
		return j.filled(j.readByAgent)
	case "read-package":
		return j.filled(j.readByPackage)
	}
	return 0, fmt.Errorf("no job %q", kind)
}

// checked makes sure that what f created is what was wanted.
func (j tableJob) checked(f func() error) (time.Duration, error) {
	took, err := timed(f)
	if err != nil {
		return 0, err
	}
	return took, j.readByPackage()
}

// filled lets f work on a table that is there already.
func (j tableJob) filled(f func() error) (time.Duration, error) {
	if err := j.createByPackage(); err != nil {
		return 0, err
	}
	runtime.GC() // what was prepared leaves no work behind
	return timed(f)
}

func (j tableJob) createByPackage() error {
	table, err := ipvs.Open()
	if err != nil {
		return err
	}
	defer table.Close()
	live, err := table.Read()
	if err != nil {
		return err
	}
	_, err = table.Apply(state.Diff(live, j.want))
	return err
}

func (j tableJob) readByPackage() error {
	table, err := ipvs.Open()
	if err != nil {
		return err
	}
	defer table.Close()
	live, err := table.Read()
	if err != nil {
		return err
	}
	return j.same(live)
}

// same fails unless a table is the wanted one.
func (j tableJob) same(live state.Objects) error {
	if changes := state.Diff(live, j.want); len(changes) > 0 {
		return fmt.Errorf("%d of %d objects differ, first %s", len(changes), len(j.want), changes[0].Key())
	}
	return nil
}

// createByAgent is an apply as a host sees it: from the agent's start to the
// answer that everything is done and recorded.
func (j tableJob) createByAgent() error {
	return j.withAgent(func(a *agent) error {
		if _, err := a.ask(wire.Request{Lock: &wire.Lock{Owner: "bench"}}); err != nil {
			return err
		}
		seen, err := a.observe()
		if err != nil {
			return err
		}
		_, err = a.ask(wire.Request{Begin: &wire.Begin{Topology: "bench", Members: []string{"director"},
			Steps: steps(state.Diff(tableOf(seen), j.want))}})
		return err
	})
}

// readByAgent is a plan as a host sees it.
func (j tableJob) readByAgent() error {
	return j.withAgent(func(a *agent) error {
		seen, err := a.observe()
		if err != nil {
			return err
		}
		return j.same(tableOf(seen))
	})
}

// steps create each object and claim it, as apply does.
func steps(changes []state.Change) []wire.Step {
	list := make([]wire.Step, len(changes))
	for i, c := range changes {
		list[i] = wire.Step{ID: "bench " + c.Key().ID, Change: &changes[i], Claim: &state.ClaimChange{
			Claim: state.Claim{Topology: "bench", Addresses: []string{c.Key().ID}, Value: state.Boxed{Object: c.After}}}}
	}
	return list
}

// tableOf leaves out what is not IPVS.
func tableOf(all state.Objects) state.Objects {
	var table state.Objects
	for _, o := range all {
		if k := o.Key().Kind; k == state.KindService || k == state.KindDestination {
			table = append(table, o)
		}
	}
	return table
}

// agent is a running lvsform-agent.
type agent struct {
	in  io.Writer
	out *bufio.Reader
}

func (j tableJob) withAgent(f func(*agent) error) error {
	cmd := exec.Command(j.agent, "serve")
	var errs strings.Builder
	cmd.Stderr = &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	a := &agent{in: in, out: bufio.NewReaderSize(out, 1<<16)}
	var hello wire.Hello
	failed := wire.Read(a.out, &hello)
	if failed == nil {
		failed = f(a)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		return errors.Join(failed, fmt.Errorf("%w: %s", err, errs.String()))
	}
	return failed
}

func (a *agent) observe() (state.Objects, error) {
	answer, err := a.ask(wire.Request{Observe: &wire.Observe{}})
	if err != nil {
		return nil, err
	}
	return answer.Observation.Objects, nil
}

func (a *agent) ask(q wire.Request) (wire.Response, error) {
	if err := wire.Write(a.in, q); err != nil {
		return wire.Response{}, err
	}
	for {
		var r wire.Response
		switch err := wire.Read(a.out, &r); {
		case err != nil:
			return r, err
		case r.Error != nil:
			return r, r.Error
		case r.Step == nil:
			return r, nil
		}
	}
}

func ipvsadm(lines string, args ...string) error {
	cmd := exec.Command("ipvsadm", args...)
	cmd.Stdin = strings.NewReader(lines)
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("ipvsadm: %w", err)
	}
	if lines == "" && len(out) == 0 {
		return errors.New("ipvsadm: printed nothing")
	}
	return nil
}

// largeTable has services on as many addresses, all with destinations alike.
func largeTable(services, destinations int) state.Objects {
	var table state.Objects
	for i := range services {
		id := state.ServiceID{Protocol: "tcp", Address: ip(192, 0, i), Port: 80, Family: "ipv4"}
		table = append(table, state.Service{ServiceID: id, Scheduler: "wlc", Netmask: 32})
		for k := range destinations {
			table = append(table, state.Destination{Service: id, Address: ip(10, i%256, k), Port: 80, Weight: 1, Forward: "dr"})
		}
	}
	return table
}

// ip is the nth address below two bytes.
func ip(a, b, n int) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(a), byte(b), byte(n / 200), byte(1 + n%200)})
}

// forIpvsadm writes the table as ipvsadm -R reads it.
func (j tableJob) forIpvsadm() string {
	var b strings.Builder
	for _, o := range j.want {
		switch o := o.(type) {
		case state.Service:
			fmt.Fprintf(&b, "-A -t %s:%d -s %s\n", o.Address, o.Port, o.Scheduler)
		case state.Destination:
			fmt.Fprintf(&b, "-a -t %s:%d -r %s:%d -g -w %d\n", o.Service.Address, o.Service.Port, o.Address, o.Port, o.Weight)
		}
	}
	return b.String()
}
