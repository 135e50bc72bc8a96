package lab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// process is a running QEMU.
type process struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer // read it only after done
	done   chan struct{}
	err    error // valid after done
}

// startProcess runs a program that ends with this one, unless it is detached.
// It finds the files as its third and later descriptors.
func startProcess(path string, args []string, files []*os.File, detached bool) (*process, error) {
	p := &process{cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.ExtraFiles = files
	p.cmd.SysProcAttr = processAttributes(detached)
	if !detached {
		p.cmd.Stderr = &p.stderr
	}
	started := make(chan error)
	go func() {
		// The kernel's "parent death" is the death of the thread that started
		// the child: this one has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	return p, <-started
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// said is what the ended process had to say.
func (p *process) said() string { return strings.TrimSpace(p.stderr.String()) }

// kill ends the process, and returns when it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be gone already
	<-p.done
}

// running tells whether a process is still the machine of a directory; its
// number may be another's by now.
func running(pid int, dir string) bool {
	line, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "cmdline"))
	return err == nil && bytes.Contains(line, []byte(filepath.Join(dir, "console")))
}

// killDetached ends the machine that another process started in dir.
func killDetached(pid int, dir string) error {
	for range 100 {
		if !running(pid, dir) {
			return nil
		}
		if p, err := os.FindProcess(pid); err != nil || p.Signal(syscall.SIGKILL) != nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("the lab's machine (process %d) does not end", pid)
}
