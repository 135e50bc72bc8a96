package remote

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxJumps bounds the length of a way: ssh_config may send it in a circle.
const maxJumps = 8

// hop is one jump host, as ProxyJump writes it.
type hop struct {
	user, host string
	port       int
}

func (h hop) String() string {
	text := h.host
	if strings.Contains(text, ":") {
		text = "[" + text + "]"
	}
	if h.user != "" {
		text = h.user + "@" + text
	}
	if h.port != 0 {
		text += ":" + strconv.Itoa(h.port)
	}
	return text
}

// parseJump reads ProxyJump: [user@]host[:port] or ssh://[user@]host[:port],
// separated by commas, the first to visit first; "none" is no jump.
func parseJump(text string) ([]hop, error) {
	if text == "" || strings.EqualFold(text, "none") {
		return nil, nil
	}
	var hops []hop
	for _, part := range strings.Split(text, ",") {
		h, err := parseHop(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("jump host %q: %w", part, err)
		}
		hops = append(hops, h)
	}
	return hops, nil
}

func parseHop(text string) (hop, error) {
	text = strings.TrimSuffix(strings.TrimPrefix(text, "ssh://"), "/")
	var h hop
	if i := strings.LastIndex(text, "@"); i >= 0 {
		h.user, text = text[:i], text[i+1:]
	}
	h.host = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
	// More than one colon without brackets is an IPv6 address.
	if strings.HasPrefix(text, "[") && !strings.HasSuffix(text, "]") || strings.Count(text, ":") == 1 {
		host, port, err := net.SplitHostPort(text)
		if err != nil {
			return h, err
		}
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 {
			return h, fmt.Errorf("port %q is not a port", port)
		}
		h.host, h.port = host, n
	}
	return h, checkHostName(h.host)
}

// jumpPool shares connections to jump hosts. A jump host of 200 hosts is
// connected to once: sshd drops connections at random above MaxStartups.
type jumpPool struct {
	mu    sync.Mutex
	links map[string]*jump
}

type jump struct {
	ready chan struct{} // closed when link or err is set
	link  *link
	err   error
	users int
}

func newJumpPool() *jumpPool { return &jumpPool{links: map[string]*jump{}} }

// get returns the shared connection under a key, opened if there is none, and
// the function that gives it back. The last user closes it.
func (p *jumpPool) get(ctx context.Context, key string, open func() (*link, error)) (*link, func(), error) {
	p.mu.Lock()
	j := p.links[key]
	if j != nil && j.isGone() {
		j = nil
	}
	mine := j == nil
	if mine {
		j = &jump{ready: make(chan struct{})}
		p.links[key] = j
	}
	j.users++
	p.mu.Unlock()
	if mine {
		go func() {
			j.link, j.err = open()
			close(j.ready)
		}()
	}
	release := func() { p.release(key, j) }
	select {
	case <-j.ready:
	case <-ctx.Done():
		go func() { <-j.ready; release() }()
		return nil, nil, context.Cause(ctx)
	}
	if j.err != nil {
		release()
		return nil, nil, j.err
	}
	return j.link, release, nil
}

// isGone tells a connection that failed, or ended.
func (j *jump) isGone() bool {
	select {
	case <-j.ready:
		return j.err != nil || !j.link.alive()
	default:
		return false
	}
}

func (p *jumpPool) release(key string, j *jump) {
	p.mu.Lock()
	j.users--
	last := j.users == 0
	if last && p.links[key] == j {
		delete(p.links, key)
	}
	p.mu.Unlock()
	if last && j.link != nil {
		j.link.close()
	}
}

// throughJump opens a channel to address from the last of the hops. way names
// the jump hosts whose connections wait for this one.
func (d *Dialer) throughJump(ctx context.Context, hops []hop, address string, way []string) (net.Conn, string, func(), error) {
	last, before := hops[len(hops)-1], hops[:len(hops)-1]
	key := fmt.Sprint(hops)
	if slices.Contains(way, key) || len(way)+len(hops) > maxJumps {
		return nil, "", nil, fmt.Errorf("connect to %s: does ssh_config send its jump hosts in a circle? %s", address, strings.Join(append(way, key), " "))
	}
	l, release, err := d.jumps.get(ctx, key, func() (*link, error) {
		// Others wait for this connection: it does not end with one of them.
		budget := time.Duration(maxJumps-len(way)) * d.config.Timeout
		hopCtx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), budget, &TimeoutError{budget, "the connection to a jump host"})
		defer cancel()
		return d.openHop(hopCtx, last, before, append(slices.Clone(way), key))
	})
	if err != nil {
		return nil, "", nil, fmt.Errorf("jump host %s: %w", last, err)
	}
	dialCtx, cancel := context.WithTimeoutCause(ctx, d.config.Timeout, &TimeoutError{d.config.Timeout, "the jump host's connection"})
	defer cancel()
	conn, err := l.client.DialContext(dialCtx, "tcp", address)
	if err != nil {
		release()
		if dialCtx.Err() != nil {
			err = context.Cause(dialCtx)
		}
		return nil, "", nil, dialError(ctx, address, last.String(), err)
	}
	return conn, last.String(), release, nil
}

// openHop connects to a jump host. The hops before it are the way to it; the
// first of them follows its own ssh_config.
func (d *Dialer) openHop(ctx context.Context, h hop, before []hop, way []string) (*link, error) {
	s, err := d.settings(ctx, Target{Address: h.host, User: h.user, Port: h.port})
	if err != nil {
		return nil, err
	}
	if len(before) > 0 {
		names := make([]string, len(before))
		for i, b := range before {
			names[i] = b.String()
		}
		s.ProxyJump, s.ProxyCommand = strings.Join(names, ","), ""
	}
	return d.open(ctx, &s, way)
}
