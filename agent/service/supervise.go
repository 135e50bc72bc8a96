//go:build linux

package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// How a supervisor goes about it.
const (
	firstBreak = time.Second      // before a program that has ended is started again
	lastBreak  = 30 * time.Second // the break doubles with every quick end
	settled    = time.Minute      // a program that ran as long is not quick to end
	termTime   = 30 * time.Second // that a program gets to end by itself
	mostLog    = 256 << 10        // bytes of a log, which begins anew then
	logLook    = time.Minute
)

// ErrSupervised is a service that has a supervisor already.
var ErrSupervised = errors.New("it is supervised already")

// SuperviseUntil runs a service in the foreground and starts it again whenever it
// ends, until ctx does. What ends the session that started it ends neither.
func (s Services) SuperviseUntil(ctx context.Context, name string) error {
	// Caught and not ignored: the service would inherit that.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGPIPE)
	args := commands[name]
	program := s.System.Find(name)
	if args == nil || program == "" {
		return fmt.Errorf("service %s: %w", name, ErrUnknown)
	}
	if err := os.MkdirAll(filepath.Dir(s.path(pidFile(name))), 0o700); err != nil {
		return err
	}
	pid, err := hold(s.path(pidFile(name)))
	if err != nil {
		return fmt.Errorf("service %s: %w", name, err)
	}
	defer pid.Close()                      //nolint:errcheck // it gives the lock back
	defer os.Remove(s.path(pidFile(name))) //nolint:errcheck // one that nobody holds says nothing
	log, err := os.OpenFile(s.path(logFile(name)), os.O_RDWR|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // nothing is lost
	run := func() error { return once(ctx, exec.Command(program, args...), pid, log) }
	keepUp(ctx, name, pid, log, run)
	_ = os.Remove(log.Name()) // told to end: there is nothing to explain
	return nil
}

// keepUp runs what is to run again and again, with breaks between.
func keepUp(ctx context.Context, name string, pid, log *os.File, run func() error) {
	// What is started ends with this thread, should the supervisor be killed.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pause := firstBreak
	for ctx.Err() == nil {
		began := time.Now()
		if err := run(); err != nil {
			fmt.Fprintf(log, "lvsform: %s: %v\n", name, err)
		}
		note(pid, 0)
		if time.Since(began) > settled {
			pause = firstBreak
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, lastBreak)
	}
}

// hold opens a file and locks it as long as it is open.
func hold(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		f.Close() //nolint:errcheck // only opened
		if errors.Is(err, unix.EAGAIN) {
			err = ErrSupervised
		}
		return nil, err
	}
	note(f, 0)
	return f, nil
}

// note writes down who supervises, and whom.
func note(f *os.File, child int) {
	text := fmt.Sprintf("%d %d\n", os.Getpid(), child)
	_, _ = f.WriteAt([]byte(text), 0)
	_ = f.Truncate(int64(len(text)))
}

// once runs a program to its end, which comes at the latest when ctx ends.
func once(ctx context.Context, cmd *exec.Cmd, pid, log *os.File) error {
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/root"}
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGTERM}
	if err := cmd.Start(); err != nil {
		return err
	}
	note(pid, cmd.Process.Pid)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	look := time.NewTicker(logLook)
	defer look.Stop()
	for {
		select {
		case err := <-ended:
			return errors.Join(errors.New("it has ended"), err)
		case <-look.C:
			if info, err := log.Stat(); err == nil && info.Size() > mostLog {
				_ = log.Truncate(0)
			}
		case <-ctx.Done():
			_ = cmd.Process.Signal(unix.SIGTERM)
			select {
			case <-ended:
			case <-time.After(termTime):
				_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
				<-ended
			}
			return nil
		}
	}
}
