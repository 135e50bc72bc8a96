package remote

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"sync"
)

// maxResolvers bounds the ssh processes that run at a time.
const maxResolvers = 4

// query asks for one host's settings. The zero fields are ssh_config's.
type query struct {
	Host       string
	User       string
	Port       int
	Identities []string // to offer before those of ssh_config
}

// resolver answers queries from ssh_config, as ssh itself understands it.
//
// An `ssh -G` costs ten times what our own part of a connection does. Hosts
// that the same Host lines match get the same answer, so one is asked for all
// of them; see classes.
type resolver struct {
	ssh    string // path of ssh, "" when there is none
	config string // --ssh-config, "" for the usual files
	log    *slog.Logger
	slots  chan struct{}

	probe   sync.Mutex
	probed  bool
	classes *classes // nil: every host is asked for by itself

	mu      sync.Mutex
	answers map[string]*answer
}

// answer is one run of ssh -G, shared by all who wait for it.
type answer struct {
	done chan struct{}
	host string // that was asked for
	out  settings
	err  error
}

func newResolver(config string, log *slog.Logger) *resolver {
	r := &resolver{config: config, log: log, slots: make(chan struct{}, maxResolvers), answers: map[string]*answer{}}
	if path, err := exec.LookPath("ssh"); err == nil {
		r.ssh = path
	} else {
		log.Warn("no ssh program found: ssh_config is read by a simpler parser, which knows no Match but all and host")
	}
	return r
}

// resolve returns a host's settings.
func (r *resolver) resolve(ctx context.Context, q query) (settings, error) {
	if err := cmp.Or(checkHostName(q.Host), checkUser(q.User)); err != nil {
		return settings{}, err
	}
	if r.ssh == "" {
		return r.fallback(q)
	}
	if err := r.learn(ctx, q); err != nil {
		return settings{}, err
	}
	a, err := r.ask(ctx, r.shared(q))
	if err != nil {
		return settings{}, err
	}
	s := a.out
	s.Host = q.Host
	if s.HostName == strings.ToLower(a.host) {
		s.HostName = strings.ToLower(q.Host)
	}
	if q.User != "" {
		s.User = q.User
	}
	if q.Port != 0 {
		s.Port = q.Port
	}
	return s, nil
}

// shared takes out of a query what makes no difference to the answer where
// classes are known: there is then no Match that looks at the user, and no
// token that stands for user or port.
func (r *resolver) shared(q query) query {
	if r.classes != nil {
		q.User, q.Port = "", 0
	}
	return q
}

// checkHostName refuses what ssh would take for an option, a URI or a user.
func checkHostName(host string) error {
	if host == "" || host[0] == '-' || strings.ContainsAny(host, " \t\r\n@/\\\"'`$;&|<>(){}") {
		return fmt.Errorf("%q is not a host name or address", host)
	}
	for _, c := range host {
		if c < 0x20 || c == 0x7f {
			return fmt.Errorf("%q is not a host name or address", host)
		}
	}
	return nil
}

// checkUser refuses what a shell would not take for one word: the user may be
// part of a ProxyCommand. Empty is none.
func checkUser(user string) error {
	bad := func(c rune) bool { return c <= 0x20 || c == 0x7f || strings.ContainsRune("'`\"$;&<>|(){}*?[]!#~", c) }
	if strings.HasPrefix(user, "-") || strings.HasSuffix(user, `\`) || strings.ContainsFunc(user, bad) {
		return fmt.Errorf("%q is not a user's name", user)
	}
	return nil
}

func (r *resolver) key(q query) string {
	class := "host " + q.Host
	if r.classes != nil {
		class = r.classes.of(q.Host)
	}
	return strings.Join(append([]string{class, q.User, strconv.Itoa(q.Port)}, q.Identities...), "\x00")
}

// learn runs the first ssh -G with -v, which names the files that ssh reads:
// what they hold decides whether hosts can share answers.
func (r *resolver) learn(ctx context.Context, q query) error {
	r.probe.Lock()
	defer r.probe.Unlock()
	if r.probed {
		return nil
	}
	q.User, q.Port = "", 0
	out, errs, err := r.run(ctx, q, "-v")
	if err != nil {
		return err
	}
	s, err := parseSettings(q.Host, out)
	if err != nil {
		return fmt.Errorf("ssh -G %s: %w", q.Host, err)
	}
	if r.classes, err = learnClasses(errs); err != nil {
		r.log.Debug("each host is asked of ssh -G by itself", "because", err)
	}
	r.probed = true
	a := &answer{done: make(chan struct{}), host: q.Host, out: s}
	close(a.done)
	r.answers[r.key(q)] = a
	return nil
}

// ask returns the answer to a query, and runs ssh -G when there is none yet.
func (r *resolver) ask(ctx context.Context, q query) (*answer, error) {
	key := r.key(q)
	for {
		r.mu.Lock()
		a := r.answers[key]
		mine := a == nil
		if mine {
			a = &answer{done: make(chan struct{}), host: q.Host}
			r.answers[key] = a
		}
		r.mu.Unlock()
		if mine {
			r.fill(ctx, q, a, key)
			return a, a.err
		}
		select {
		case <-a.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		// Another host's cancelled question is no answer to this one.
		if a.err == nil || !errors.Is(a.err, context.Canceled) && !errors.Is(a.err, context.DeadlineExceeded) {
			return a, a.err
		}
	}
}

func (r *resolver) fill(ctx context.Context, q query, a *answer, key string) {
	defer close(a.done)
	out, _, err := r.run(ctx, q)
	if err == nil {
		a.out, err = parseSettings(q.Host, out)
	}
	if a.err = err; err != nil {
		r.mu.Lock()
		delete(r.answers, key)
		r.mu.Unlock()
	}
}

// run runs ssh -G for a query.
func (r *resolver) run(ctx context.Context, q query, options ...string) (stdout, stderr []byte, err error) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	args := append(options, "-G", "-T")
	if r.config != "" {
		args = append(args, "-F", r.config)
	}
	if q.User != "" {
		args = append(args, "-l", q.User)
	}
	if q.Port != 0 {
		args = append(args, "-p", strconv.Itoa(q.Port))
	}
	for _, file := range q.Identities {
		args = append(args, "-i", file)
	}
	cmd := exec.CommandContext(ctx, r.ssh, append(args, "--", q.Host)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		return nil, nil, fmt.Errorf("ssh -G %s: %w: %s", q.Host, err, clean(errs.String()))
	}
	return out.Bytes(), errs.Bytes(), nil
}

func localUser() string {
	if u, err := user.Current(); err == nil {
		// Windows has DOMAIN\name.
		return u.Username[strings.LastIndex(u.Username, `\`)+1:]
	}
	return os.Getenv("USER")
}
