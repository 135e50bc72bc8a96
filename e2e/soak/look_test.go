//go:build linux && kernel

package soak

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
)

// look is a host as the invariants compare it.
type look struct {
	Objects []string
	Ledger  string // the file
	Dump    string
	// What a plan and a destruction would do, on any host, with the others as
	// they are; nil: not yet made.
	Plan, Destroy []string
	live          planner.Live
}

// scheduler is the module that dir1's first transaction loads. Modules stay when
// it is taken back.
const scheduler = "ip_vs_wlc"

func (l look) has(module string) bool {
	return slices.ContainsFunc(l.live.Objects, func(o state.Object) bool { return o == state.Object(state.Module{Name: module}) })
}

// look takes the host's lock with a new agent and reads the host. It tells whose
// transaction was taken back before; "" for none. Modules that are to be
// unloaded are, if nothing needs them.
func (h *host) look(unload ...string) (l look, recovered string) {
	h.Helper()
	s := h.mustStart()
	defer s.close()
	locked, err := s.lock("look")
	if err != nil {
		h.Errorf("%s: the lock is not free: %v", h.name, err)
		return l, ""
	}
	if locked.Recovered != nil {
		recovered = locked.Recovered.Owner
	}
	for _, module := range unload {
		_ = exec.Command("modprobe", "-r", module).Run()
	}
	if l.live, err = s.observe(); err != nil {
		h.Fatalf("%s: %v", h.name, err)
	}
	l.Objects = text(l.live.Objects)
	l.Dump = h.dump()
	l.Ledger = h.files()["ledger"]
	return l, recovered
}

func text(objects state.Objects) (out []string) {
	for _, o := range objects {
		body, err := json.Marshal(o)
		if err != nil {
			panic(err)
		}
		out = append(out, o.Key().String()+" "+string(body))
	}
	slices.Sort(out)
	return out
}

// looks are all hosts.
func (s *scene) looks() map[string]look {
	s.Helper()
	out := map[string]look{}
	for _, h := range s.hosts {
		out[h.name], _ = h.look()
	}
	return out
}

// plans fills in what the plans would do if the host is as l says, and the
// others as around says.
func (s *scene) plans(l *look, name string, around map[string]look) {
	live := map[string]planner.Live{}
	for other, o := range around {
		live[other] = o.live
	}
	live[name] = l.live
	l.Plan, l.Destroy = outline(s.plan(live, false)), outline(s.plan(live, true))
}

func outline(p *planner.Plan) (out []string) {
	for _, c := range p.Changes {
		out = append(out, fmt.Sprintf("%d %s %s", c.Stage, c.Action, c.ID))
	}
	return out
}

// wantAsBefore expects a host where no transaction is under way to be as it
// was, the others being as around says, and nothing left of what was tried.
func (h *host) wantAsBefore(when string, around map[string]look) (recovered string) {
	h.Helper()
	h.quiet()
	var unload []string
	if !around[h.name].has(scheduler) {
		unload = append(unload, scheduler)
	}
	got, recovered := h.look(unload...)
	h.plans(&got, h.name, around)
	want := around[h.name]
	if want.Plan == nil && want.Destroy == nil {
		h.plans(&want, h.name, around)
		around[h.name] = want
	}
	if diff := cmp.Diff(want, got, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".live" }, cmp.Ignore())); diff != "" {
		h.Errorf("%s, %s: not as before (-before +after):\n%s", h.name, when, diff)
	}
	h.tidy(when)
	h.verified(h.name, got, around)
	return recovered
}

// tidy expects no file of a transaction, and no process.
func (h *host) tidy(when string) {
	h.Helper()
	h.quiet()
	left := slices.DeleteFunc(slices.Sorted(maps.Keys(h.files())), func(name string) bool { return name == "ledger" || name == "lock" })
	if len(left) > 0 {
		h.Errorf("%s, %s: %v is left", h.name, when, left)
	}
}

// verified expects of every real server that a director sends to that it is
// ready, and keeps that.
func (s *scene) verified(changed string, now look, around map[string]look) {
	s.Helper()
	of := func(name string) look {
		if name == changed {
			return now
		}
		return around[name]
	}
	for _, o := range of("dir1").live.Objects {
		d, ok := o.(state.Destination)
		if !ok || d.Service.Address != vip || d.Weight == 0 {
			continue
		}
		for _, h := range s.topology.Hosts {
			if h.Address != d.Address {
				continue
			}
			server := of(h.Name)
			if !strings.Contains(server.Dump, "inet "+vip.String()+"/32") || !strings.Contains(server.Ledger, vip.String()) {
				s.Errorf("dir1 sends to %s, which is not ready", h.Name)
			}
		}
	}
}
