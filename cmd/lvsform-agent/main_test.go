//go:build linux

package main_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/lvsform/lvsform/wire"
)

// build makes the agent as it is released.
func build(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "agent")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", file, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

func TestAgent(t *testing.T) {
	file := build(t)
	t.Run("refuses other arguments", func(t *testing.T) {
		for _, args := range [][]string{nil, {"nonsense"}, {"serve", "more"}} {
			var exit *exec.ExitError
			if err := exec.Command(file, args...).Run(); !errors.As(err, &exit) || exit.ExitCode() != 2 {
				t.Errorf("%q: %v", args, err)
			}
		}
	})
	t.Run("says hello from anywhere and ends at the end of its input", func(t *testing.T) {
		cmd, in, hello := start(t, file)
		if hello.Protocol != wire.Protocol || hello.Arch != runtime.GOARCH || hello.Kernel == "" || hello.UID != os.Getuid() {
			t.Errorf("got %+v", hello)
		}
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	t.Run("does not serve where somebody else could replace it", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "lvsform")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		placed := filepath.Join(dir, "agent")
		if err := os.Link(file, placed); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			dir  string
			mode os.FileMode
			want int
		}{
			{dir, 0o700 | os.ModeSetuid | os.ModeSticky, 0},
			{dir, 0o702 | os.ModeSetuid | os.ModeSticky, 126},
			{filepath.Dir(dir), 0o707, 126},
		} {
			before, err := os.Stat(c.dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(c.dir, c.mode); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(placed, "serve") // its input has ended
			err = cmd.Run()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) || cmd.ProcessState.ExitCode() != c.want {
				t.Errorf("%s %s: want exit %d, got %v", c.dir, c.mode, c.want, err)
			}
			if err := os.Chmod(c.dir, before.Mode()); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("ends when it is hung up between requests", func(t *testing.T) {
		cmd, in, _ := start(t, file)
		defer in.Close()
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("got %v", err)
		}
	})
}

// start runs the agent in another directory and reads its first frame.
func start(t *testing.T, file string) (*exec.Cmd, io.WriteCloser, wire.Hello) {
	t.Helper()
	cmd := exec.Command(file, "serve")
	cmd.Dir = "/"
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var hello wire.Hello
	if err := wire.Read(out, &hello); err != nil {
		t.Fatal(err)
	}
	return cmd, in, hello
}
