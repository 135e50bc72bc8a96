package txn_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/agent/agenttest"
	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

var keepalived = state.Package{Name: "keepalived"}

func config(text string) state.Config {
	return state.Config{Program: "keepalived", Topology: "web", Text: text}
}

func withKeepalived(objects ...state.Object) *agenttest.Kernel {
	k := agenttest.NewKernel(append(append(agenttest.Host(), keepalived, unit("keepalived", false, false)), objects...)...)
	return k
}

// diary notes what is done in which order, and what new clients waited for.
type diary struct {
	*agenttest.Kernel
	did   []string
	gives state.Object // what the program that runs sets up with its old configuration, and takes away with another
}

func (k *diary) Apply(changes []state.Change) (int, error) {
	if c, ok := changes[0].After.(state.Config); ok && k.gives != nil {
		change := state.Change{Before: k.gives}
		if c.Text == "old\n" {
			change = state.Change{After: k.gives}
		}
		_, there := k.Kernel.Objects().ByKey()[k.gives.Key()] // keepalived takes an address that it finds
		if there && change.After != nil && k.gives.Key().Kind == state.KindAddress {
			change = state.Change{Before: k.gives, After: k.gives}
		}
		if _, err := k.Kernel.Apply([]state.Change{change}); err != nil {
			return 0, err
		}
	}
	n, err := k.Kernel.Apply(changes)
	for _, c := range changes[:min(n, len(changes))] {
		what := "make "
		if c.After == nil {
			what = "delete "
		}
		k.did = append(k.did, what+c.Key().String())
	}
	return n, err
}

func (k *diary) Hold(services []state.ServiceID) func() {
	k.did = append(k.did, "hold "+services[0].String())
	return func() { k.did = append(k.did, "release") }
}

func httpService() state.Service {
	return state.Service{ServiceID: state.ServiceID{Protocol: "tcp", Address: netip.MustParseAddr("192.0.2.100"), Port: 80, Family: "ipv4"}, Scheduler: "rr"}
}

func TestAServiceThatAProgramGivesUpIsHeldUntilItIsMade(t *testing.T) {
	k := &diary{Kernel: withKeepalived(config("old\n"))}
	if _, err := run(t, k, begin(step(config("old\n"), config("new\n")), step(nil, httpService()))); err != nil {
		t.Fatal(err)
	}
	want := []string{"hold tcp/192.0.2.100:80", "make config keepalived/web", "make ipvs_service tcp/192.0.2.100:80", "release"}
	if diff := cmp.Diff(want, k.did); diff != "" {
		t.Error(diff)
	}
}

// What checks have made of the service since the plan was made does not count:
// the program takes all of it away.
func TestWhatAProgramGivesUpIsMadeWhateverIsLive(t *testing.T) {
	id := httpService().ServiceID
	k := &diary{Kernel: withKeepalived(config("old\n"), state.Module{Name: "ip_vs"}, httpService()), gives: httpService()}
	gives := step(config("old\n"), config("new\n"))
	if _, err := run(t, k, begin(gives, step(nil, httpService()))); code(err) != wire.ErrorStale {
		t.Fatalf("a service that nobody gives up is overwritten: %v", err)
	}
	gives.Gives = []state.ServiceID{id}
	if _, err := run(t, k, begin(gives, step(nil, httpService()))); err != nil {
		t.Fatal(err)
	}
	want := []string{"hold tcp/192.0.2.100:80", "make config keepalived/web", "make ipvs_service tcp/192.0.2.100:80", "release"}
	if diff := cmp.Diff(want, k.did); diff != "" {
		t.Error(diff)
	}
}

// The program that has its configuration again has its service again, too: what
// it makes of it is not for the transaction to compare.
func TestWhatAProgramGetsBackIsItsOwn(t *testing.T) {
	k := &diary{Kernel: withKeepalived(config("old\n"), state.Module{Name: "ip_vs"}, httpService()), gives: httpService()}
	gives := step(config("old\n"), config("new\n"))
	gives.Gives = []state.ServiceID{httpService().ServiceID}
	if _, err := run(t, k, begin(gives, step(nil, httpService()), fails)); code(err) != wire.ErrorRolledBack {
		t.Fatal(err)
	}
	want := []string{"hold tcp/192.0.2.100:80", "make config keepalived/web", "make ipvs_service tcp/192.0.2.100:80", "release",
		"hold tcp/192.0.2.100:80", "delete ipvs_service tcp/192.0.2.100:80", "make config keepalived/web", "release"}
	if diff := cmp.Diff(want, k.did); diff != "" {
		t.Error(diff)
	}
}

// keepalived takes its addresses away with their instance; where it does not run,
// what it had is taken up.
func TestAnAddressThatKeepalivedGivesUpIsMade(t *testing.T) {
	vip := state.Address{Device: "eth0", IP: netip.MustParsePrefix("192.0.2.100/32"), Scope: "global"}
	fixed := vip
	fixed.Label = "eth0:0"
	gives, makes := step(config("old\n"), config("new\n")), step(nil, fixed)
	for name, runs := range map[string]bool{"it runs": true, "it does not": false} {
		k := &diary{Kernel: withKeepalived(config("old\n"), vip)}
		if runs {
			k.gives = vip
		}
		if _, err := run(t, k, begin(makes, gives)); code(err) != wire.ErrorStale {
			t.Fatalf("%s: made before keepalived gives it up: %v", name, err)
		}
		if _, err := run(t, k, begin(gives, makes)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if live := k.Objects().ByKey(); live[fixed.Key()] != state.Object(fixed) {
			t.Errorf("%s: %v", name, live[fixed.Key()])
		}
		k = &diary{Kernel: withKeepalived(config("old\n"), vip)}
		if runs {
			k.gives = vip
		}
		before := k.Objects()
		if _, err := run(t, k, begin(gives, makes, fails)); code(err) != wire.ErrorRolledBack {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(before, k.Objects(), cmp.Comparer(func(a, b state.Object) bool { return a == b })); diff != "" {
			t.Errorf("%s: taken back: %s", name, diff)
		}
	}
}

// A program that does not run takes nothing away, and nobody makes it again for
// the program when all is taken back.
func TestWhatAProgramHasLeftBehindIsTakenUp(t *testing.T) {
	own, up := httpService(), server
	up.Service = own.ServiceID
	was, down, fallback := own, up, up
	was.Scheduler, down.Weight, fallback.Address = "wlc", 0, netip.MustParseAddr("127.0.0.1")
	k := &diary{Kernel: withKeepalived(config("old\n"), state.Module{Name: "ip_vs"}, state.Module{Name: "ip_vs_rr"},
		state.Module{Name: "ip_vs_wlc"}, was, down, fallback)}
	before := k.Objects()
	gives := step(config("old\n"), config("new\n"))
	gives.Gives = []state.ServiceID{own.ServiceID}
	steps := []wire.Step{gives, step(nil, own), step(nil, up)}
	if _, err := run(t, k, begin(append(steps, fails)...)); code(err) != wire.ErrorRolledBack {
		t.Fatal(err)
	}
	if diff := diffOf(before, k.Objects()); diff != "" {
		t.Errorf("taken back: %s", diff)
	}
	if _, err := run(t, k, begin(steps...)); err != nil {
		t.Fatal(err)
	}
	live := state.Objects(k.Objects()).ByKey()
	if diff := diffOf([]state.Object{own, up, nil}, []state.Object{live[own.Key()], live[up.Key()], live[fallback.Key()]}); diff != "" {
		t.Error(diff)
	}
}

func TestAServiceIsDeletedBeforeItsProgramGetsItBack(t *testing.T) {
	k := &diary{Kernel: withKeepalived(config("old\n"))}
	before := k.Objects()
	if _, err := run(t, k, begin(step(config("old\n"), config("new\n")), step(nil, httpService()), fails)); code(err) != wire.ErrorRolledBack {
		t.Fatal(err)
	}
	want := []string{"delete ipvs_service tcp/192.0.2.100:80", "make config keepalived/web"}
	if diff := cmp.Diff(want, k.did[len(k.did)-2:]); diff != "" {
		t.Errorf("%s in %q", diff, k.did)
	}
	after := k.Objects()
	for _, o := range after { // what the service has loaded stays
		if m, ok := o.(state.Module); ok && strings.HasPrefix(m.Name, "ip_vs") {
			return
		}
	}
	if diff := diffOf(before, after); diff != "" {
		t.Error(diff)
	}
}

func TestAProgramStopsWithItsConfiguration(t *testing.T) {
	k := withKeepalived()
	before := k.Objects()
	_, err := run(t, k, begin(step(nil, config("new\n")), step(unit("keepalived", false, false), unit("keepalived", true, true)), fails))
	if code(err) != wire.ErrorRolledBack {
		t.Fatal(err)
	}
	if diff := diffOf(before, k.Objects()); diff != "" {
		t.Error(diff)
	}
}

func TestAConfigurationIsNeverQuoted(t *testing.T) {
	k := withKeepalived(config("auth_pass hidden\n"))
	_, err := run(t, k, begin(step(config("auth_pass other\n"), config("new\n"))))
	if code(err) != wire.ErrorStale || strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "other") {
		t.Errorf("got %v", err)
	}
}

func TestAConfigurationNeedsItsProgram(t *testing.T) {
	k := agenttest.NewKernel(agenttest.Host()...)
	before := k.Objects()
	if _, err := run(t, k, begin(step(nil, config("new\n")))); code(err) != wire.ErrorRolledBack {
		t.Errorf("got %v", err)
	}
	if diff := diffOf(before, k.Objects()); diff != "" {
		t.Error(diff)
	}
}

func TestAfterARebootOnlyWhatOutlivesOneIsTakenBack(t *testing.T) {
	was := unit("keepalived", false, false)
	is := unit("keepalived", true, true)
	k := withKeepalived(config("new\n"), is)
	p := txn.Pending{Token: "t",
		Begin: wire.Begin{Topology: "web", Steps: []wire.Step{
			step(config("old\n"), config("new\n")), step(was, is),
			step(nil, state.Address{Device: "eth0", IP: netip.MustParsePrefix("192.0.2.100/32"), Scope: "global"})}},
		Before: state.Objects{config("old\n"), was}}
	if err := txn.RecoverAfterBoot(k, p); err != nil {
		t.Fatal(err)
	}
	live := k.Objects().ByKey()
	if got := live[config("").Key()]; got != state.Object(config("old\n")) {
		t.Errorf("the configuration is %v", got)
	}
	if got := live[is.Key()]; got != state.Object(unit("keepalived", true, false)) {
		t.Errorf("the service is %v", got)
	}
}

// batches notes which configurations came together.
type batches struct {
	*agenttest.Kernel
	all [][]string
}

func (k *batches) Apply(changes []state.Change) (int, error) {
	var keys []string
	for _, c := range changes {
		if c.Key().Kind == state.KindConfig {
			keys = append(keys, c.Key().String())
		}
	}
	if keys != nil {
		k.all = append(k.all, keys)
	}
	return k.Kernel.Apply(changes)
}

// Between the two nobody would serve.
func TestWhatWasTakenOverIsGivenBackWithItsPart(t *testing.T) {
	file := func(text string) state.Config { return state.Config{Program: "keepalived", Text: text} }
	k := &batches{Kernel: withKeepalived(file("by hand\n"))}
	if _, err := run(t, k, begin(step(file("by hand\n"), file("")), step(nil, config("new\n")), fails)); code(err) != wire.ErrorRolledBack {
		t.Fatal(err)
	}
	both := []string{"config keepalived/", "config keepalived/web"}
	if diff := cmp.Diff([][]string{both, both}, k.all); diff != "" {
		t.Error(diff)
	}
}
