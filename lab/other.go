//go:build !linux

package lab

import (
	"context"
	"errors"
	"os"
	"syscall"
)

func processAttributes(bool) *syscall.SysProcAttr { return nil }

func kernelRelease() string { return "unknown" }

// RunGuest is the machine's side; it exists on Linux alone.
func RunGuest(context.Context) error { return errors.New("the lab runs on Linux") }

func (*ethernet) plug() (*port, *os.File, error) { return nil, nil, errors.ErrUnsupported }
