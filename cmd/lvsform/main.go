// Command lvsform plans and applies Linux Virtual Server clusters.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/lvsform/lvsform/cmd/lvsform/internal/view"
	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/lab"
	"github.com/lvsform/lvsform/topology"
)

// version is set by the linker.
var version = ""

func main() {
	if lab.IsGuest(os.Args) {
		if err := lab.RunGuest(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(exitError)
		}
		return
	}
	// A cut-off pipe (`lvsform apply | head`) must not end an apply half way.
	// Ignoring the signal would be inherited by ssh; taking it is not.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes one command line and returns the exit code.
func run(args []string, stdin, stdout, stderr *os.File) int {
	c := &cli{stdin: stdin, stdout: stdout, stderr: stderr, environ: os.Environ()}
	withholdVariables(c.environ)
	stop, now, release := interrupts(c.interrupted)
	defer release()
	c.now = now
	root := c.command()
	root.SetArgs(args)
	return c.exit(root.ExecuteContext(stop))
}

// withholdVariables takes the configuration's variables out of the environment:
// ssh, its ProxyCommand and git are not told what may be secret.
func withholdVariables(environ []string) {
	for _, entry := range environ {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, hcl.EnvironPrefix) {
			os.Unsetenv(name) //nolint:errcheck // the name is one
		}
	}
}

// cli is one run of the program.
type cli struct {
	stdin          *os.File
	stdout, stderr *os.File
	environ        []string
	now            context.Context // ends when the run must end at once
	flags          flags
	blot           func(string) string // takes the configuration's secrets out of a text
	streaming      sync.Mutex          // one line of JSON at a time
	bar            atomic.Pointer[progress]
	watching       atomic.Bool // an interrupt is the usual end
}

func (c *cli) interrupted(text string) {
	if !c.watching.Load() {
		c.say(text)
	}
}

// interrupts returns a context that ends with the first interrupt, when no
// further transaction is to begin, and one that ends with the second.
func interrupts(tell func(string)) (stop, now context.Context, release func()) {
	stop, cancelStop := context.WithCancel(context.Background())
	now, cancelNow := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		if _, ok := <-signals; !ok {
			return
		}
		tell("Interrupted: what has begun is finished, nothing further is begun. Interrupt again to end at once.")
		cancelStop()
		if _, ok := <-signals; !ok {
			return
		}
		cancelNow()
		signal.Stop(signals) // a third one kills
	}()
	return stop, now, func() {
		signal.Stop(signals)
		close(signals)
		cancelStop()
		cancelNow()
	}
}

// Exit codes.
const (
	exitDone       = 0
	exitError      = 1 // nothing was changed
	exitPending    = 2 // changes are pending
	exitPartly     = 3 // partly applied
	exitStale      = 4 // the saved plan is stale; nothing was changed
	exitLocked     = 5 // a host is locked by another run; nothing was changed
	exitRolledBack = 6 // a host was rolled back
)

// codedError ends the program with a code. With a nil err everything is said
// already.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *codedError) Unwrap() error { return e.err }

func silent(code int) error { return &codedError{code: code} }

// usageError is a command line that says nothing sensible.
type usageError struct {
	command string // the command whose help explains it
	err     error
}

func (e *usageError) Error() string {
	return e.err.Error() + "\nRun '" + e.command + " --help' for what it takes."
}

func (e *usageError) Unwrap() error { return e.err }

// hintError is an error with what to do about it.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() + "\n" + e.hint }

func (e *hintError) Unwrap() error { return e.err }

// exit prints an error that is not yet said, and returns the exit code.
func (c *cli) exit(err error) int {
	if err == nil {
		return exitDone
	}
	code := exitCode(err)
	var e *codedError
	if errors.As(err, &e) && e.err == nil {
		return code
	}
	ds := topology.Diagnostics{errorDiagnostic(err)}
	var usage *usageError
	if errors.As(err, &usage) {
		c.diagnose(ds) // who mistypes a flag reads the screen
	} else {
		c.fail(ds)
	}
	return code
}

func exitCode(err error) int {
	var e *codedError
	if errors.As(err, &e) {
		return e.code
	}
	return exitError
}

// errorDiagnostic splits an error's text: its first line says what is wrong,
// the rest what to do.
func errorDiagnostic(err error) topology.Diagnostic {
	summary, detail, _ := strings.Cut(err.Error(), "\n")
	return topology.Diagnostic{Severity: topology.Error, Summary: summary, Detail: detail}
}

// buildVersion is the version that the program calls itself.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

func (c *cli) style(w io.Writer) view.Style {
	return view.Style{Color: !c.flags.noColor && c.getenv("NO_COLOR") == "" && c.getenv("TERM") != "dumb" && isTerminal(w)}
}

func (c *cli) getenv(name string) string {
	for i := len(c.environ) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(c.environ[i], name+"="); ok {
			return value
		}
	}
	return ""
}
