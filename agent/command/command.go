//go:build linux

// Package command runs programs of the host within a bounded time.
package command

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Command is a program with its arguments; no shell reads them.
type Command struct {
	Path    string // of the program, absolute
	Args    []string
	Env     []string      // beside PATH, LC_ALL and HOME
	Timeout time.Duration // not zero
	// Grace is what the program gets to end by itself after Timeout; zero
	// kills it at once.
	Grace time.Duration
}

func (c Command) String() string {
	return strings.Join(append([]string{filepath.Base(c.Path)}, c.Args...), " ")
}

// Output is what a program that ended came to.
type Output struct {
	Stdout, Stderr string // up to limit bytes each, the last ones
	Code           int    // exit status; 128 and the signal's number where one ended it
}

// Said is what the program printed, on one line.
func (o Output) Said() string {
	text := strings.Join(strings.Fields(o.Stderr+"\n"+o.Stdout), " ")
	if len(text) > 600 {
		text = "…" + strings.ToValidUTF8(text[len(text)-600:], "")
	}
	return text
}

// ErrTimeout is a program that did not end in its time and was killed.
var ErrTimeout = errors.New("it did not end in time and was stopped")

const (
	limit = 256 << 10
	path  = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// Host runs programs of this machine.
type Host struct{}

// Find is the path of a program of the system, or "".
func (Host) Find(name string) string {
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"} {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return file
		}
	}
	return ""
}

// Run runs a program without input. An exit status is no error. What the
// program leaves behind, a daemon say, goes on after it: output goes to memory
// and not through a pipe, which the daemon would hold open or die of.
func (Host) Run(c Command) (Output, error) {
	out, err := memory("stdout")
	if err != nil {
		return Output{}, err
	}
	defer out.Close() //nolint:errcheck // memory
	errs, err := memory("stderr")
	if err != nil {
		return Output{}, err
	}
	defer errs.Close() //nolint:errcheck // memory
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", out, errs
	cmd.Env = append([]string{"PATH=" + path, "LC_ALL=C", "HOME=/root", "TERM=dumb"}, c.Env...)
	// A session of its own: what it starts outlives the agent, and what hangs
	// is killed with its children.
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return Output{}, fmt.Errorf("%s: %w", c, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	err = await(cmd.Process.Pid, ended, c.Timeout, c.Grace)
	result := Output{Stdout: text(out), Stderr: text(errs), Code: cmd.ProcessState.ExitCode()}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		result.Code = 128 + int(status.Signal())
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return result, fmt.Errorf("%s: %w", c, err)
	}
	return result, nil
}

// await waits for the end of a program, and brings it about after the timeout.
func await(pid int, ended <-chan error, timeout, grace time.Duration) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case err := <-ended:
		return err
	case <-timer.C:
	}
	if grace > 0 {
		_ = unix.Kill(-pid, unix.SIGTERM) // it may just have ended
		timer.Reset(grace)
		select {
		case <-ended:
			return fmt.Errorf("%w after %s", ErrTimeout, timeout)
		case <-timer.C:
		}
	}
	_ = unix.Kill(-pid, unix.SIGKILL)
	<-ended
	return fmt.Errorf("%w after %s", ErrTimeout, timeout)
}

func memory(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate("lvsform-"+name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memory for a program's output: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// text reads the end of what was written, and lets nothing more be written.
func text(f *os.File) string {
	_, _ = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_GROW|unix.F_SEAL_SHRINK)
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	from := max(0, size-limit)
	body, err := io.ReadAll(io.NewSectionReader(f, from, size-from))
	if err != nil {
		return ""
	}
	return string(bytes.ToValidUTF8(body, []byte("?")))
}
