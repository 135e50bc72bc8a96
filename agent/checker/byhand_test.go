//go:build linux

package checker

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/state"
)

// byHand is what the host reads as written by hand.
func (h *host) byHand(program string) string {
	h.Helper()
	objects, err := h.parts().Read()
	if err != nil {
		h.Fatal(err)
	}
	c, _ := objects.ByKey()[state.Config{Program: program}.Key()].(state.Config)
	return c.Text
}

func TestBlocksAreTakenOverAtOnceAndGivenBack(t *testing.T) {
	const keep, blocks = "# mine\nglobal\n# end", "taken\nover\n"
	for program, main := range map[string]string{Keepalived: keepalivedFile, Ldirectord: ldirectordFile} {
		for _, rest := range []string{keep, keep + "\n", ""} {
			t.Run(program+" "+rest, func(t *testing.T) {
				h := newHost(t)
				h.runs = true
				h.write(main, blocks+rest, 0o640)
				before := h.tree()
				file := func(text string) state.Object { return config(program, "", text) }
				web := config(program, "web", "by lvsform\n")
				both := func(changes ...state.Change) {
					t.Helper()
					reloads := h.reloads
					if done, err := h.parts().Apply(changes); err != nil || done != len(changes) {
						t.Fatalf("%d, %v", done, err)
					}
					if h.reloads != reloads+1 {
						t.Errorf("%d reloads, want one", h.reloads-reloads)
					}
				}
				take := []state.Change{{Before: file(blocks + rest), After: file(rest)}, {After: web}}
				both(take...)
				h.want(web)
				if got := h.byHand(program); got != rest {
					t.Errorf("left by hand is %q, want %q", got, rest)
				}
				all := h.tested[len(h.tested)-1]
				if strings.Contains(all, "taken") || !strings.Contains(all, "by lvsform") {
					t.Errorf("tested was not what came:\n%s", all)
				}
				again := config(program, "web", "again\n")
				both(state.Change{Before: web, After: again})
				both(state.Change{Before: file(rest), After: file(blocks + rest)}, state.Change{Before: again})
				h.want()
				if diff := cmp.Diff(before, h.tree()); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// While something else of lvsform's stays.
func TestBlocksAreTakenOverBesideAnotherPart(t *testing.T) {
	for program, main := range map[string]string{Keepalived: keepalivedFile, Ldirectord: ldirectordFile} {
		h := newHost(t)
		h.write(main, "taken\nstays\n", 0o640)
		mail, web := config(program, "mail", "mail\n"), config(program, "web", "web\n")
		h.must(nil, mail)
		if _, err := h.parts().Apply([]state.Change{{Before: config(program, "", "taken\nstays\n"), After: config(program, "", "stays\n")}, {After: web}}); err != nil {
			t.Fatal(err)
		}
		h.want(mail, web)
		if got := h.byHand(program); got != "stays\n" {
			t.Errorf("%s: %q", program, got)
		}
	}
}

func TestWhatIsRefusedTakesNothingOver(t *testing.T) {
	for program, main := range map[string]string{Keepalived: keepalivedFile, Ldirectord: ldirectordFile} {
		h := newHost(t)
		h.runs = true
		h.write(main, "taken\nstays\n", 0o640)
		before := h.tree()
		for name, changes := range map[string][]state.Change{
			"refused": {{Before: config(program, "", "taken\nstays\n"), After: config(program, "", "stays\n")}, {After: config(program, "web", "bad\n")}},
			"changed": {{Before: config(program, "", "other\n"), After: config(program, "", "stays\n")}, {After: config(program, "web", "web\n")}},
			"removed": {{Before: config(program, "", "taken\nstays\n")}, {After: config(program, "web", "web\n")}},
		} {
			if done, err := h.parts().Apply(changes); err == nil || done != 1 {
				t.Errorf("%s, %s: %d, %v", program, name, done, err)
			}
			if diff := cmp.Diff(before, h.tree()); diff != "" || h.reloads > 0 {
				t.Errorf("%s, %s: %d reloads, %s", program, name, h.reloads, diff)
			}
		}
	}
}
