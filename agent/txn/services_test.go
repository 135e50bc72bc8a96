package txn_test

import (
	"strings"
	"testing"

	"github.com/lvsform/lvsform/agent/agenttest"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

func unit(name string, running, enabled bool) state.Unit {
	return state.Unit{Name: name, Running: state.Some(running), Enabled: state.Some(enabled)}
}

var (
	ipvsadm   = state.Package{Name: "ipvsadm"}
	fails     = step(nil, state.Module{Name: "nonsense"})
	installed = unit("ipvsadm", true, true) // as its package brings it
)

func withPackage() *agenttest.Kernel {
	k := agenttest.NewKernel(append(agenttest.Host(), unit("firewalld", true, true))...)
	k.Bring("ipvsadm", installed)
	return k
}

func TestAServiceOfAPackageOfTheSameTransactionIsSet(t *testing.T) {
	k := withPackage()
	declared := state.Unit{Name: "ipvsadm", Enabled: state.Some(false)}
	ledger, err := run(t, k, begin(claimed(step(nil, ipvsadm)), claimed(step(nil, declared))))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := k.Objects().ByKey()[declared.Key()], state.Object(unit("ipvsadm", true, false)); got != want {
		t.Errorf("the service is %v", got)
	}
	if got, want := ledger.ByKey()[declared.Key()].Before.Object, state.Object(installed); got != want {
		t.Errorf("the ledger says that it was %v before", got)
	}
}

func TestRollbackKeepsThePackageAndRestoresServices(t *testing.T) {
	k := withPackage()
	before := k.Objects()
	stopped := unit("firewalld", false, false)
	_, err := run(t, k, begin(claimed(step(unit("firewalld", true, true), stopped)), claimed(step(nil, ipvsadm)),
		claimed(step(nil, unit("ipvsadm", false, false))), fails))
	if code(err) != wire.ErrorRolledBack {
		t.Fatal(err)
	}
	want := append(before, ipvsadm, installed)
	want.Sort()
	if diff := diffOf(want, k.Objects()); diff != "" {
		t.Error(diff)
	}
}

func TestAServiceThatNothingBringsIsAnError(t *testing.T) {
	k := withPackage()
	before := k.Objects()
	_, err := run(t, k, begin(claimed(step(nil, unit("keepalived", true, true)))))
	if code(err) != wire.ErrorRolledBack || !strings.Contains(err.Error(), "create service keepalived") {
		t.Errorf("got %v", err)
	}
	if diff := diffOf(before, k.Objects()); diff != "" {
		t.Error(diff)
	}
}

func TestPackagesAndServicesStayWhenTheyAreDeleted(t *testing.T) {
	k := withPackage()
	k.Set(ipvsadm, installed)
	before := k.Objects()
	if _, err := run(t, k, begin(step(ipvsadm, nil), step(installed, nil))); err != nil {
		t.Fatal(err)
	}
	if diff := diffOf(before, k.Objects()); diff != "" {
		t.Error(diff)
	}
}
