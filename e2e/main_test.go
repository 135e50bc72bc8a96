//go:build lab

// Package e2e runs the built lvsform against hosts with real kernels.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lvsform/lvsform/lab"
)

// machine is the one boot that serves all tests, one after the other.
var machine *lab.Guest

// bootTime bounds the boot, the fetching of a kernel included.
const bootTime = 5 * time.Minute

func TestMain(m *testing.M) {
	if lab.IsGuest(os.Args) {
		fmt.Println(lab.RunGuest(context.Background()))
		os.Exit(1)
	}
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (int, error) {
	if _, err := os.Stat(cliPath()); err != nil {
		return 1, fmt.Errorf("%w: run make build", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), bootTime)
	defer cancel()
	var err error
	if machine, err = lab.Boot(ctx, lab.Options{Memory: 4096, Wires: 3}); err != nil {
		return 1, err
	}
	code := m.Run()
	return code, machine.Close()
}

// cliPath is the lvsform under test: that of `make build`, or $LVSFORM.
func cliPath() string {
	path := os.Getenv("LVSFORM")
	if path == "" {
		path = filepath.Join("..", "bin", "lvsform")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		panic(errors.Join(errors.New("no working directory"), err))
	}
	return abs
}
