package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lvsform/lvsform/cmd/lvsform/internal/view"
)

// progress shows what each host is at. Its methods may be called from several
// goroutines.
type progress interface {
	set(host, text string)          // the host is at it now
	note(host, text string)         // something happened on the host
	end(host, text string, ok bool) // the host has come to the end of it
	say(text string)                // a message to the reader
	close()
}

// newProgress writes to stderr, so that stdout holds results alone: a table
// that redraws itself on a terminal, else one line for each host that is ready.
func (c *cli) newProgress(hosts int) progress {
	var p progress = &lines{out: c.stderr}
	switch {
	case c.flags.json || hosts == 0:
		p = quiet{c.stderr}
	case isTerminal(c.stderr) && !c.flags.verbose && c.getenv("TERM") != "dumb":
		p = newTable(c.stderr, hosts)
	}
	c.bar.Store(&p)
	return p
}

// say tells the reader something in the midst of what progress shows.
func (c *cli) say(text string) {
	if p := c.bar.Load(); p != nil {
		(*p).say(text)
		return
	}
	fmt.Fprintln(c.stderr, text)
}

type quiet struct{ out io.Writer }

func (q quiet) say(text string)        { fmt.Fprintln(q.out, text) }
func (quiet) set(string, string)       {}
func (quiet) note(string, string)      {}
func (quiet) end(string, string, bool) {}
func (quiet) close()                   {}

// lines writes a line when a host is ready.
type lines struct {
	mu  sync.Mutex
	out io.Writer
}

func (*lines) set(string, string) {}

func (l *lines) end(host, text string, _ bool) { l.note(host, text) }

func (l *lines) note(host, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.out, "%s: %s\n", oneLine(host), oneLine(text))
}

func (l *lines) say(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(l.out, text)
}

func (*lines) close() {}

func oneLine(s string) string { return strings.Join(strings.Fields(view.Clean(s)), " ") }

// table redraws the hosts that are at work, a few times a second.
type table struct {
	out   io.Writer
	total int
	stop  chan struct{}
	ended chan struct{}

	mu    sync.Mutex
	rows  map[string]tableRow
	ready int

	screen sync.Mutex // guards the rest
	drawn  []string   // lines on the screen
}

type tableRow struct {
	text  string
	since time.Time
}

func newTable(out io.Writer, total int) *table {
	t := &table{out: out, total: total, stop: make(chan struct{}), ended: make(chan struct{}), rows: map[string]tableRow{}}
	go t.loop()
	return t
}

func (t *table) loop() {
	defer close(t.ended)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-t.stop:
			t.draw(nil)
			return
		case now := <-tick.C:
			t.draw(t.view(now))
		}
	}
}

// view is the lines to draw: as many hosts as the terminal has room for, the
// ones at work longest first.
func (t *table) view(now time.Time) []string {
	width, height := terminalSize(t.out)
	t.mu.Lock()
	defer t.mu.Unlock()
	var names []string
	for name := range t.rows {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := t.rows[a].since.Compare(t.rows[b].since); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	out := []string{fmt.Sprintf("%d of %d hosts ready", t.ready, t.total)}
	for i, name := range names {
		if i >= height-3 {
			out = append(out, fmt.Sprintf("  and %d more", len(names)-i))
			break
		}
		text := fmt.Sprintf("  %s  %s", name, t.rows[name].text)
		if waited := now.Sub(t.rows[name].since); waited >= time.Second {
			text += fmt.Sprintf("  %ds", int(waited.Seconds()))
		}
		out = append(out, cut(oneLine(text), width-3))
	}
	return out
}

func cut(s string, width int) string {
	if r := []rune(s); len(r) > width && width > 1 {
		return "  " + string(r[:width-1]) + "…"
	}
	return "  " + s
}

// draw replaces what was drawn before.
func (t *table) draw(lines []string) {
	t.screen.Lock()
	defer t.screen.Unlock()
	if slices.Equal(lines, t.drawn) {
		return
	}
	var b strings.Builder
	if len(t.drawn) > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", len(t.drawn)) // up, and clear to the end
	}
	for _, l := range lines {
		b.WriteString(l + "\n")
	}
	t.drawn = lines
	io.WriteString(t.out, b.String()) //nolint:errcheck // a lost terminal loses its table
}

// say puts a message above the table.
func (t *table) say(text string) {
	t.draw(nil)
	t.screen.Lock()
	defer t.screen.Unlock()
	// What was drawn meanwhile is left above, and drawn anew below.
	t.drawn = nil
	fmt.Fprintln(t.out, text)
}

func (t *table) set(host, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows[host] = tableRow{text, time.Now()}
}

func (*table) note(string, string) {}

func (t *table) end(host, _ string, _ bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.rows[host]; ok {
		delete(t.rows, host)
		t.ready++
	}
}

func (t *table) close() {
	close(t.stop)
	<-t.ended
}
