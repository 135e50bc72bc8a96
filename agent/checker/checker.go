//go:build linux

// Package checker keeps lvsform's parts of the configurations of keepalived and ldirectord.
//
// The rest of their configurations is their administrator's, and stays byte for
// byte. A new configuration is tested by the program itself before it takes the
// old one's place; the program reloads it, which costs no connection.
package checker

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lvsform/lvsform/agent/command"
	"github.com/lvsform/lvsform/state"
)

// Programs that a part can be of, named like their packages and services.
const (
	Keepalived = "keepalived"
	Ldirectord = "ldirectord"
)

// System is the part of the host that programs are run with.
type System interface {
	Find(program string) string // its path, or ""
	Run(command.Command) (command.Output, error)
}

// Services is the host's init system.
type Services interface {
	// Running tells whether a service runs. One that the host has not does not.
	Running(name string) (bool, error)
	// Reload has a running service read its configuration again. It returns when
	// that is done, as far as the init system can tell.
	Reload(name string) error
}

// Parts are lvsform's parts on a host.
type Parts struct {
	System   System
	Services Services
	// Table reads the virtual services of the live IPVS table.
	Table func() ([]state.ServiceID, error)
	// Addresses reads those of the host.
	Addresses func() ([]netip.Addr, error)
	Root      string        // of the file tree; "" is /
	Wait      time.Duration // how long a reload may take to show; 0: a minute and a half
}

// How long a program may take to test a configuration; ldirectord is a large
// Perl program.
const testTime = 60 * time.Second

const (
	mostWait  = 90 * time.Second // ldirectord takes its time to start on a slow host
	waitPause = 20 * time.Millisecond
	// addressWait is what keepalived may take to give up addresses.
	addressWait = 10 * time.Second
)

// ErrMissing is a host without the program.
var ErrMissing = errors.New("the program is not installed: install its package (a package block does)")

// files are the files of one program.
type files interface {
	// read returns its parts by topology.
	read() (map[string]string, error)
	// put tests the configuration with a part, or without it where text is nil,
	// and puts it in place; with it what is written by hand, where rest is not
	// nil. No topology is no part.
	put(topology string, text, rest *string) error
	main() string
	readMain() (file, error)
	// addedEnd is where lvsform's additions to a main file end; -1: none.
	addedEnd(text string) (int, error)
}

func (p Parts) files(program string) (files, error) {
	switch program {
	case Keepalived:
		return keepalived{p}, nil
	case Ldirectord:
		return ldirectord{p}, nil
	}
	return nil, fmt.Errorf("no program of that name is configured: %q", program)
}

// Read returns the parts that the programs' configurations have.
func (p Parts) Read() (out state.Objects, err error) {
	for _, program := range []string{Keepalived, Ldirectord} {
		f, err := p.files(program)
		if err != nil {
			return nil, err
		}
		parts, err := f.read()
		if err != nil {
			return nil, fmt.Errorf("configuration of %s: %w", program, err)
		}
		for topology, text := range parts {
			out = append(out, state.Config{Program: program, Topology: topology, Text: text})
		}
		if main, err := f.readMain(); err == nil {
			if text, ok := byHand(f, main); ok {
				out = append(out, state.Config{Program: program, Text: text})
			}
		}
	}
	out.Sort()
	return out, nil
}

// Apply puts parts in place or removes them, and returns how many changes were
// made. A refused part leaves the old one in place and in use. A part that stands
// beside a change of what is written by hand is changed with it, at once.
func (p Parts) Apply(changes []state.Change) (done int, err error) {
	for n := 0; n < len(changes); {
		size := pair(changes[n:])
		if err := p.change(changes[n : n+size]); err != nil {
			return n + size - 1, err // neither is to be tried alone
		}
		n += size
	}
	return len(changes), nil
}

func (p Parts) change(changes []state.Change) error {
	var config state.Config
	var text *string
	program := configOf(changes[0]).Program
	for _, c := range changes {
		if own := configOf(c); own.Topology != "" {
			config = own
			if c.After != nil {
				text = &own.Text
			}
			if !safe(config.Topology) {
				return fmt.Errorf("%q is no name of a topology", config.Topology)
			}
		}
	}
	if text != nil && (!strings.HasSuffix(*text, "\n") || strings.ContainsRune(*text, 0) || len(*text) > mostText) {
		return fmt.Errorf("the text must end with a line's end, and have no NUL and at most %d bytes", mostText)
	}
	f, err := p.files(program)
	if err != nil {
		return err
	}
	hand, rest, err := p.rest(f, changes)
	if err != nil {
		return fmt.Errorf("%s: %w", mainOf(program), err)
	}
	parts, err := f.read()
	if err != nil {
		return err
	}
	old, had := parts[config.Topology]
	if rest == nil && (text == nil && !had || text != nil && had && old == *text) {
		return nil
	}
	if text != nil && p.System.Find(program) == "" {
		return ErrMissing
	}
	if err := f.put(config.Topology, text, rest); err != nil {
		return err
	}
	was, is := texts{old, ""}, texts{}
	if text != nil {
		is.part = *text
	}
	if rest != nil {
		was.byHand, is.byHand = hand, *rest
	}
	return p.reload(program, was, is)
}

// reload has a program that runs take up a new text, and waits until that shows.
func (p Parts) reload(program string, was, is texts) error {
	running, err := p.Services.Running(program)
	if err != nil || !running {
		return err
	}
	if err := p.Services.Reload(program); err != nil {
		return fmt.Errorf("the configuration is in place, and is not in use: %w", err)
	}
	gone := without(services(program, was.all()), services(program, is.all()))
	if err := p.await(program, services(program, is.part), gone); err != nil {
		return err
	}
	return p.awaitAddresses(without(floating(program, was.all()), floating(program, is.all())))
}

// awaitAddresses waits until the host has addresses no more that a program has
// been told to give up. One that stays is not the program's: it has not been the
// master.
func (p Parts) awaitAddresses(gone []netip.Addr) error {
	if len(gone) == 0 {
		return nil
	}
	for end := time.Now().Add(min(cmp.Or(p.Wait, mostWait), addressWait)); ; time.Sleep(waitPause) {
		live, err := p.Addresses()
		if err != nil {
			return err
		}
		if len(without(gone, live)) == len(gone) || time.Now().After(end) {
			return nil
		}
	}
}

// Started waits until a program that was started has set up the services of its
// parts.
func (p Parts) Started(program string) error {
	f, err := p.files(program)
	if err != nil {
		return err
	}
	parts, err := f.read()
	if err != nil {
		return err
	}
	var want []state.ServiceID
	for _, text := range parts {
		want = append(want, services(program, text)...)
	}
	return p.await(program, want, nil)
}

// await waits until the IPVS table has the services, and has those no more that
// are gone.
func (p Parts) await(program string, want, gone []state.ServiceID) error {
	if len(want) == 0 && len(gone) == 0 {
		return nil
	}
	for end := time.Now().Add(cmp.Or(p.Wait, mostWait)); ; time.Sleep(waitPause) {
		live, err := p.Table()
		if err != nil {
			return err
		}
		missing, left := without(want, live), without(gone, without(gone, live))
		switch {
		case len(missing) == 0 && len(left) == 0:
			return nil
		case time.Now().Before(end):
		case len(missing) > 0:
			return fmt.Errorf("%s has not set up the virtual service %s: its own log says why; does it read %s?", program, missing[0], mainOf(program))
		default:
			return fmt.Errorf("%s has not given up the virtual service %s: its own log says why; does it read %s?", program, left[0], mainOf(program))
		}
	}
}

// without are those that are not among others.
func without[T comparable](services, others []T) (out []T) {
	other := make(map[T]bool, len(others))
	for _, id := range others {
		other[id] = true
	}
	for _, id := range services {
		if !other[id] {
			out = append(out, id)
		}
	}
	return out
}

func (p Parts) path(name string) string { return filepath.Join("/", p.Root, name) }

func mainOf(program string) string {
	if program == Ldirectord {
		return "/" + ldirectordFile
	}
	return "/" + keepalivedFile
}

// safe tells whether the name of a topology can be part of a path and of a line.
func safe(name string) bool {
	return name != "" && len(name) <= 200 && name[0] != '.' && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.", r))
	})
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
