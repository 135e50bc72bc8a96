package txn_test

import (
	"fmt"
	"testing"

	"github.com/lvsform/lvsform/agent/txn"
)

// The world of a host on which two runs, 1 and 2, make a transaction each:
// everything that any of the processes may do next, in any order, with a crash
// of any of them at any moment, and a reboot. Each step here is one that the
// operating system does as a whole. The decisions are those of Decide.

// process is who acts.
type process int8

const (
	agent1 process = iota
	agent2
	guard1
	guard2
	confirmer1 // brings the confirmation of run 1
	confirmer2
	late1 // brings that of run 1 a second time, at any time
	boot  // the unit that restores the host after a reboot
	processes
)

// place is how far a process has come.
type place int8

const (
	absent place = iota
	ready
	recovering // an agent: looks for a journal that nobody is in charge of
	opening    // an agent: writes its journal
	locking    // an agent: locks it
	guarding   // an agent: starts its guard
	changing   // an agent: has made no change yet
	halfway    // an agent: has made some
	changed    // an agent: has made all
	failing    // an agent: a change failed, the host is restored
	undone     // an agent: it is restored, the journal goes
	written    // an agent: the ledger to be is written, the journal still locked
	waiting    // an agent: its session is open; a guard: for the confirmation
	overdue    // a guard: the time is over
	deciding   // whoever holds the journal's lock and has read the disk
	acting     // … and has done the first step of the action
	restoring  // … and has begun to restore the host
	clearing   // … and has only to remove the journal
	blank      // the boot: makes what the ledger says
	ended
	dead
)

// Kernel states beyond 0, 1 and 2, which are complete.
const (
	partly = 8
	empty  = 9 // after a reboot
)

type world struct {
	at     [processes]place
	action [processes]txn.Action // of a process that is deciding

	kernel  int8 // whose changes are there
	ledger  int8
	journal int8 // token; 0: none
	before  int8 // the snapshot in it
	old     bool // it is of the boot before
	made    int8 // the ledger to be; 0: none
	locked  process
	host    process    // who took the host's lock: an agent, with its guard, or the boot
	said    [3]outcome // what the confirmers heard: of 1, of 2, late of 1
	reboots int8
	begun   [3]bool // by token: a confirmation comes after what it confirms
	kept    [3]bool // by token: it was in the ledger once
}

type outcome int8

const (
	kept outcome = iota + 1
	takenBack
)

const nobody = processes

// token of a process's transaction.
func (p process) token() int8 {
	switch p {
	case agent2, guard2, confirmer2:
		return 2
	}
	return 1
}

func (p process) partner() process {
	switch p {
	case agent1:
		return guard1
	case agent2:
		return guard2
	case guard1:
		return agent1
	case guard2:
		return agent2
	}
	return p
}

func running(at place) bool { return at != absent && at != ended && at != dead }

// leave ends a process; its locks go with it.
func (w world) leave(p process, at place) world {
	w.at[p], w.action[p] = at, txn.Nothing
	if w.locked == p {
		w.locked = nobody
	}
	if w.host != nobody && (w.host == p || w.host == p.partner()) && !running(w.at[p.partner()]) {
		w.host = nobody
	}
	return w
}

func name(token int8) string {
	if token == 0 {
		return ""
	}
	return fmt.Sprint(token)
}

func (w world) disk() txn.Disk {
	d := txn.Disk{Journal: name(w.journal), Made: w.made != 0, Rebooted: w.old}
	for token, kept := range w.kept {
		if kept {
			d.Kept = append(d.Kept, name(int8(token)))
		}
	}
	return d
}

// decide takes the journal's lock, if it is free, and decides.
func (w world) decide(p process, token int8, e txn.Event, next func(world, txn.Action) world) []world {
	if w.journal != 0 && w.locked != nobody {
		return nil // it waits
	}
	if w.journal == 0 && token == 0 {
		return []world{next(w, txn.Nothing)}
	}
	if token == 0 {
		token = w.journal
	}
	a := txn.Decide(w.disk(), name(token), e)
	switch a {
	case txn.Nothing, txn.Kept, txn.Wait:
		return []world{next(w, a)}
	}
	w.locked, w.at[p], w.action[p] = p, deciding, a
	return []world{w}
}

// act does the next step of the action that a process has decided on.
func (w world) act(p process, done func(world, txn.Action) world) []world {
	a := w.action[p]
	switch {
	case w.at[p] == deciding && a == txn.Commit:
		w.ledger, w.made, w.at[p] = w.made, 0, clearing
		w.kept[w.ledger] = true
	case w.at[p] == deciding && a == txn.TakeBack:
		w.made, w.at[p] = 0, acting
	case w.at[p] == deciding:
		w.made, w.at[p] = 0, clearing
	case w.at[p] == acting:
		w.kernel, w.at[p] = partly, restoring
	case w.at[p] == restoring:
		w.kernel, w.at[p] = w.before, clearing
	case w.at[p] == clearing:
		w.journal, w.old, w.locked, w.action[p] = 0, false, nobody, txn.Nothing
		w = done(w, a)
	}
	return []world{w}
}

// next lists what a process may do.
func (w world) next(p process) []world {
	switch p {
	case agent1, agent2:
		return w.agent(p)
	case guard1, guard2:
		return w.guard(p)
	case boot:
		return w.boot(p)
	}
	return w.confirm(p)
}

func (w world) agent(p process) []world {
	g := p.partner()
	step := func(at place) []world { w.at[p] = at; return []world{w} }
	switch w.at[p] {
	case ready:
		if w.host != nobody {
			return nil
		}
		w.host = p
		return step(recovering)
	case recovering:
		return w.decide(p, 0, txn.Found, func(w world, _ txn.Action) world { w.at[p] = opening; return w })
	case deciding, acting, restoring, clearing:
		return w.act(p, func(w world, _ txn.Action) world { w.at[p] = opening; return w })
	case opening:
		w.made, w.journal, w.before, w.old = 0, p.token(), w.kernel, false
		w.begun[p.token()] = true
		return step(locking)
	case locking:
		if w.locked != nobody {
			return nil
		}
		w.locked = p
		return step(guarding)
	case guarding:
		w.at[g] = ready
		return step(changing)
	case changing:
		w.kernel = partly
		return step(halfway)
	case halfway:
		fails := w
		fails.at[p] = failing
		w.kernel = p.token()
		return append(step(changed), fails)
	case failing:
		w.kernel = w.before
		return step(undone)
	case undone:
		w.journal, w.locked = 0, nobody
		return []world{w.leave(p, ended)}
	case changed:
		w.made = p.token()
		return step(written)
	case written:
		w.locked = nobody
		return step(waiting)
	case waiting:
		return []world{w.leave(p, ended)}
	}
	return nil
}

func (w world) guard(p process) []world {
	over := func(w world, a txn.Action) world {
		if a == txn.Wait {
			w.at[p] = waiting
			return w
		}
		return w.leave(p, ended)
	}
	var out []world
	switch w.at[p] {
	case ready:
		out = w.decide(p, p.token(), txn.Released, over)
		if a := p.partner(); w.locked == a && running(w.at[a]) { // it hangs, and is killed
			out = append(out, w.leave(a, dead))
		}
	case waiting:
		late := w
		late.at[p] = overdue
		out = append(out, late)
		if w.journal != p.token() {
			out = append(out, w.leave(p, ended))
		}
	case overdue:
		out = w.decide(p, p.token(), txn.TimeOut, over)
	case deciding, acting, restoring, clearing:
		out = w.act(p, over)
	}
	return out
}

func (w world) confirm(p process) []world {
	heard := func(w world, a txn.Action) world {
		i := map[process]int{confirmer1: 0, confirmer2: 1, late1: 2}[p]
		switch a {
		case txn.Wait:
			return w // it asks again
		case txn.Commit, txn.Clear, txn.Kept:
			w.said[i] = kept
		default:
			w.said[i] = takenBack
		}
		return w.leave(p, ended)
	}
	switch w.at[p] {
	case ready:
		if !w.begun[p.token()] {
			return nil
		}
		return w.decide(p, p.token(), txn.Confirmed, heard)
	case deciding, acting, restoring, clearing:
		return w.act(p, heard)
	}
	return nil
}

func (w world) boot(p process) []world {
	then := func(w world, _ txn.Action) world { w.at[p] = blank; return w }
	switch w.at[p] {
	case absent, ended:
		if w.journal != 0 { // it watches, too
			w.at[p] = ready
			return []world{w}
		}
	case ready:
		if w.host != nobody {
			return nil
		}
		w.host, w.at[p] = p, recovering
		return []world{w}
	case recovering:
		return w.decide(p, 0, txn.Found, then)
	case deciding, acting, restoring, clearing:
		return w.act(p, then)
	case blank:
		w.kernel = w.ledger
		return []world{w.leave(p, ended)}
	}
	return nil
}

// faults are the crashes that may happen now: of any process, but for the boot
// unit, which the system starts again, and of the machine.
func (w world) faults() (out []world) {
	for p := range processes {
		if p != boot && running(w.at[p]) && w.at[p] != ready {
			out = append(out, w.leave(p, dead))
		}
	}
	if w.reboots > 0 {
		return out
	}
	w.reboots++
	for p := range processes {
		if (p == confirmer1 || p == confirmer2 || p == late1 || p == agent2) && w.at[p] == ready {
			continue // it has not come yet
		}
		if running(w.at[p]) {
			w.at[p], w.action[p] = dead, txn.Nothing
		}
	}
	w.at[boot], w.locked, w.host, w.kernel = ready, nobody, nobody, empty
	w.old = w.journal != 0
	return append(out, w)
}

// wrong says what must not be in any world.
func (w world) wrong() string {
	for i, token := range []int8{1, 2, 1} {
		switch {
		case w.said[i] == kept && !w.kept[token]:
			return fmt.Sprintf("run %d was told that its changes are kept, and they are not", token)
		case w.said[i] == takenBack && w.kept[token]:
			return fmt.Sprintf("run %d was told that its changes are taken back, and they are not", token)
		}
	}
	for p := range processes {
		if w.action[p] == txn.Commit && w.old {
			return "what was not confirmed before a reboot is kept after it"
		}
	}
	if w.journal == 0 && w.host == nobody && w.kernel != w.ledger && w.kernel != empty {
		return fmt.Sprintf("nobody is in charge, the host is %d and its ledger %d", w.kernel, w.ledger)
	}
	return ""
}

// settled: nothing is pending, and the host is what its ledger says.
func (w world) settled() bool { return w.journal == 0 && w.kernel == w.ledger && w.locked == nobody }

func TestEveryInterleavingEndsOldOrNew(t *testing.T) {
	start := world{locked: nobody, host: nobody}
	for _, p := range []process{agent1, agent2, confirmer1, confirmer2, late1} {
		start.at[p] = ready
	}
	seen := map[world][]world{} // what it comes from
	queue := []world{start}
	seen[start] = nil
	for len(queue) > 0 {
		w := queue[0]
		queue = queue[1:]
		if wrong := w.wrong(); wrong != "" {
			t.Fatalf("%s: %s", wrong, trace(seen, w))
		}
		follow := w.faults()
		for p := range processes {
			follow = append(follow, w.next(p)...)
		}
		for _, n := range follow {
			from, known := seen[n]
			if n == w {
				continue
			}
			seen[n] = append(from, w)
			if !known {
				queue = append(queue, n)
			}
		}
	}
	t.Logf("%d worlds", len(seen))
	if w, found := endless(seen); found {
		t.Errorf("nothing ends this: %s", trace(seen, w))
	}
}

// endless finds a world from which no way leads to a settled one.
func endless(seen map[world][]world) (world, bool) {
	good := map[world]bool{}
	var queue []world
	for w := range seen {
		if w.settled() {
			good[w] = true
			queue = append(queue, w)
		}
	}
	for len(queue) > 0 {
		w := queue[0]
		queue = queue[1:]
		for _, from := range seen[w] {
			if !good[from] {
				good[from] = true
				queue = append(queue, from)
			}
		}
	}
	for w := range seen {
		if !good[w] {
			return w, true
		}
	}
	return world{}, false
}

// trace is one way to a world.
func trace(seen map[world][]world, w world) string {
	text := ""
	for n := 0; n < 80; n++ {
		text = fmt.Sprintf("\n%+v%s", w, text)
		if len(seen[w]) == 0 {
			break
		}
		w = seen[w][0]
	}
	return text
}
