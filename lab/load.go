package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Load keeps connections open, each for a while: when one ends another begins,
// as long as Count and For allow.
type Load struct {
	Network string        // tcp, udp or sctp
	Targets []string      // address:port, taken in turn
	Sources []netip.Addr  // taken in turn; none: what the client's kernel takes
	Open    int           // connections at a time
	Hold    time.Duration // between the first exchange of a connection and its last
	Count   int           // connections in all, at most
	For     time.Duration // none begins later than this
	Timeout time.Duration // of connecting, and of each exchange; 0 is 3 s
}

// How a connection of a Load can fail; other failures are told in words.
const (
	LoadRefused = "refused"
	LoadReset   = "reset"
	LoadTimeout = "timeout"
	LoadClosed  = "closed" // by the server, without an answer
	LoadMoved   = "moved"  // another host answers than before
)

// Loaded is what has become of the connections of a Load.
type Loaded struct {
	Began    int
	By       map[string]int // ended well, by who answered
	Open     map[string]int // open, by who answers
	Failures map[string]int // by kind
	Details  []string       // of the first failures
}

// Failed is how many connections did not end well.
func (l Loaded) Failed() int {
	n := 0
	for _, failures := range l.Failures {
		n += failures
	}
	return n
}

func (l Loaded) String() string {
	return fmt.Sprintf("%d connections began; ended well: %s; open: %s; failed: %s%s",
		l.Began, counts(l.By), counts(l.Open), counts(l.Failures), strings.Join(append([]string{""}, l.Details...), "\n  "))
}

func counts(m map[string]int) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		words = append(words, fmt.Sprintf("%s %d", name, m[name]))
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

// Loading is a Load that goes on.
type Loading struct {
	conn net.Conn
	done chan struct{}

	mu   sync.Mutex
	seen Loaded
	err  error
}

// Load begins to load a target from a host. The end of ctx breaks it off.
func (l *Lab) Load(ctx context.Context, host string, load Load) (*Loading, error) {
	at, keep := l.at(request{Op: opLoad, Host: host, Keep: &load})
	conn, r, err := at.send(ctx, keep)
	if err != nil {
		return nil, err
	}
	g := &Loading{conn: conn, done: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	go func() {
		defer close(g.done)
		defer conn.Close()
		defer stop()
		g.listen(r)
	}()
	return g, nil
}

// listen takes up what the guest tells, to the end.
func (g *Loading) listen(r *bufio.Reader) {
	dec := json.NewDecoder(r)
	for {
		var e event
		err := dec.Decode(&e)
		if err == nil && e.Error != "" {
			err = errors.New(e.Error)
		}
		g.mu.Lock()
		if e.Loaded != nil {
			g.seen = *e.Loaded
		}
		g.err = err
		g.mu.Unlock()
		if err != nil || e.Done {
			return
		}
	}
}

// Seen is what has become of the connections so far, as told a moment ago.
func (g *Loading) Seen() (Loaded, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seen, g.err
}

// Ended is closed when no connection is open and none begins any more.
func (g *Loading) Ended() <-chan struct{} { return g.done }

// End lets no connection begin any more, waits for those that are open, and
// tells what became of all.
func (g *Loading) End() (Loaded, error) {
	_, _ = g.conn.Write([]byte{'\n'}) // it may have ended by itself
	<-g.done
	return g.Seen()
}
