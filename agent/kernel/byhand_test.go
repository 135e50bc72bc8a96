//go:build linux && kernel

package kernel_test

import (
	"os"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/state"
)

// What somebody has written is taken over with one reload: nothing goes, and
// when the rest of the transaction fails every byte is back.
func TestBlocksByHandAreTakenOverWhileTheyServe(t *testing.T) {
	k := checkedHost(t, "keepalived")
	if err := os.MkdirAll("/etc/keepalived", 0o755); err != nil {
		t.Fatal(err)
	}
	const main = "/etc/keepalived/keepalived.conf"
	rest := "! mine\n" + balancer(81) + "# no end"
	whole := "! mine\n" + instance + balancer(80) + balancer(81) + "# no end"
	if err := os.WriteFile(main, []byte(whole), 0o640); err != nil {
		t.Fatal(err)
	}
	file := func(text string) state.Config { return state.Config{Program: "keepalived", Text: text} }
	must(t, k, step(runs("keepalived", false), runs("keepalived", true)))
	until(t, "the address of the instance", addressed)
	until(t, "the services", func() bool {
		now := table(t)
		return strings.Contains(now, "192.0.2.21:80") && strings.Contains(now, "192.0.2.21:81")
	})
	before, had := files(t), table(t)
	same := func(when string) {
		t.Helper()
		if got := table(t); got != had || !addressed() {
			t.Errorf("%s the table is\n%s\nwas\n%s", when, got, had)
		}
	}
	part := keepalivedHas(instance + balancer(80))
	if err := run(k, step(file(whole), file(rest)), step(nil, part), step(nil, state.Module{Name: "nonsense"})); err == nil {
		t.Error("a module of nonsense was loaded")
	}
	same("taken back,")
	if got := files(t); got != before {
		t.Errorf("taken back, there is\n%s\nand was\n%s", got, before)
	}
	must(t, k, step(file(whole), file(rest)), step(nil, part))
	same("taken over,")
	body, err := os.ReadFile(main)
	if err != nil || !strings.HasPrefix(string(body), rest) || live(t, k, part.Key()) != state.Object(part) || live(t, k, file("").Key()) != state.Object(file(rest)) {
		t.Errorf("%v: the file is\n%s", err, body)
	}
}
