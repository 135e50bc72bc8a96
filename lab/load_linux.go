package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// dialers is how many connections are opened at once: each takes a thread.
	dialers = 8
	// tellPause is the time between two words about a load.
	tellPause = 250 * time.Millisecond
	// loadDetails is how many failures are told in words.
	loadDetails = 20
)

// load keeps connections open until its bounds are reached or ctx is done, then
// waits for those that are open.
func (h *host) load(ctx context.Context, l Load, tell func(Loaded)) (Loaded, error) {
	if l.Timeout == 0 {
		l.Timeout = defaultRequestTimeout
	}
	if l.Open < 1 || l.Count < 1 || l.For <= 0 || len(l.Targets) == 0 {
		return Loaded{}, errors.New("a load needs targets and bounds")
	}
	ctx, cancel := context.WithTimeout(ctx, l.For)
	defer cancel()
	r := &loadRun{Load: l, ctx: ctx, dials: make(chan dialled), failures: map[string]int{},
		by: map[string]int{}, open: map[string]int{}}
	var pool, slots sync.WaitGroup
	for range min(dialers, l.Open) {
		pool.Go(func() {
			if err := h.network(r.dialAll); err != nil {
				r.fail(fmt.Errorf("%s: %w", h.name, err))
			}
		})
	}
	for range l.Open {
		slots.Go(r.slot)
	}
	ended := make(chan struct{})
	go func() { slots.Wait(); close(ended) }()
	for tick := time.NewTicker(tellPause); ; {
		select {
		case <-tick.C:
			tell(r.seen())
			continue
		case <-ended:
		}
		tick.Stop()
		close(r.dials)
		pool.Wait()
		return r.seen(), nil
	}
}

// loadRun is one load.
type loadRun struct {
	Load
	ctx   context.Context
	dials chan dialled

	mu       sync.Mutex // guards the rest
	began    int
	by, open map[string]int
	failures map[string]int
	details  []string
}

// dialled is a connection to be made, and where it goes.
type dialled struct {
	Requests
	to chan<- connected
}

type connected struct {
	conn net.Conn
	err  error
}

// dialAll makes connections in the calling thread's network namespace.
func (r *loadRun) dialAll() error {
	for d := range r.dials {
		conn, err := connect(context.Background(), d.Requests)
		d.to <- connected{conn, err}
	}
	return nil
}

// slot has one connection after the other.
func (r *loadRun) slot() {
	for {
		q, ok := r.next()
		if !ok {
			return
		}
		if err := r.one(q); err != nil {
			r.fail(fmt.Errorf("%s → %s: %w", q.Source, q.Target, err))
		}
	}
}

// next is the next connection to make, and false when there shall be none.
func (r *loadRun) next() (Requests, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil || r.began == r.Count {
		return Requests{}, false
	}
	n := r.began
	r.began++
	var source netip.Addr
	if len(r.Sources) > 0 {
		source = r.Sources[n%len(r.Sources)]
		n /= len(r.Sources) // so that each source sees every target
	}
	return Requests{Network: r.Network, Target: r.Targets[n%len(r.Targets)], Source: source, Timeout: r.Timeout}, true
}

// errMoved: a connection's answers came from two hosts.
var errMoved = errors.New("another host answers than before")

// one has one connection from its beginning to its end.
func (r *loadRun) one(q Requests) error {
	answer := make(chan connected, 1)
	r.dials <- dialled{q, answer}
	c := <-answer
	if c.err != nil {
		return c.err
	}
	defer c.conn.Close()
	words := bufio.NewReader(c.conn)
	first, err := r.exchange(c.conn, words, "begin")
	if err != nil {
		return fmt.Errorf("its beginning: %w", err)
	}
	r.count(r.open, first, 1)
	defer r.count(r.open, first, -1)
	time.Sleep(r.Hold)
	last, err := r.exchange(c.conn, words, "end")
	if err != nil {
		return fmt.Errorf("its end, with %s: %w", first, err)
	}
	if last != first {
		return fmt.Errorf("%w: %s, after %s", errMoved, last, first)
	}
	r.count(r.by, first, 1)
	return nil
}

// exchange says a word, and returns who answers.
func (r *loadRun) exchange(conn net.Conn, words *bufio.Reader, word string) (string, error) {
	if err := conn.SetDeadline(time.Now().Add(r.Timeout)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintln(conn, word); err != nil {
		return "", err
	}
	line, err := words.ReadString('\n')
	if err != nil {
		return "", err
	}
	who, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	return who, nil
}

func (r *loadRun) count(m map[string]int, who string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m[who] += n; m[who] == 0 {
		delete(m, who)
	}
}

func (r *loadRun) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures[failureKind(err)]++
	if len(r.details) < loadDetails {
		r.details = append(r.details, err.Error())
	}
}

// failureKind is the kind of a failure, or its words.
func failureKind(err error) string {
	var slow net.Error
	switch {
	case errors.Is(err, errMoved):
		return LoadMoved
	case errors.Is(err, unix.ECONNREFUSED):
		return LoadRefused
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		return LoadReset
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return LoadTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return LoadClosed
	}
	return err.Error()
}

func (r *loadRun) seen() Loaded {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Loaded{Began: r.began, By: maps.Clone(r.by), Open: maps.Clone(r.open), Failures: maps.Clone(r.failures),
		Details: append([]string(nil), r.details...)}
}
