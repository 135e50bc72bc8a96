//go:build linux

// Package kernel is the running Linux kernel as a transaction sees it.
package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent/checker"
	"github.com/lvsform/lvsform/agent/command"
	"github.com/lvsform/lvsform/agent/facts"
	"github.com/lvsform/lvsform/agent/ipvs"
	"github.com/lvsform/lvsform/agent/module"
	"github.com/lvsform/lvsform/agent/network"
	"github.com/lvsform/lvsform/agent/nft"
	"github.com/lvsform/lvsform/agent/packages"
	"github.com/lvsform/lvsform/agent/service"
	"github.com/lvsform/lvsform/agent/sysctl"
	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
)

// Kernel is the kernel of the current namespaces. It is not safe for concurrent
// use.
type Kernel struct {
	network *network.Network
	table   *ipvs.Table // nil until it is needed and there
	nft     nft.Table

	packages packages.Packages
	services service.Services
	parts    checker.Parts
}

// New returns the kernel. It opens nothing yet.
func New() *Kernel {
	k := &Kernel{network: network.New(module.Load),
		packages: packages.Packages{System: command.Host{}}, services: service.Services{System: command.Host{}}}
	k.parts = checker.Parts{System: command.Host{}, Services: &k.services, Table: k.serviceIDs, Addresses: k.addresses}
	return k
}

// SuperviseWith gives the kernel what starts a supervisor of a service on a host
// without an init system. It is called before anything else.
func (k *Kernel) SuperviseWith(start func(name string) error) { k.services.Supervise = start }

// Close releases what has been opened.
func (k *Kernel) Close() {
	if k.table != nil {
		k.table.Close()
		k.table = nil
	}
}

// Identity is what uname(2) tells: the host's name and the kernel's release.
func Identity() (hostname, release string, err error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return "", "", fmt.Errorf("uname: %w", err)
	}
	return unix.ByteSliceToString(uts.Nodename[:]), unix.ByteSliceToString(uts.Release[:]), nil
}

// Read implements txn.Kernel.
func (k *Kernel) Read(q txn.Query) (h txn.Host, err error) {
	modules, missing, err := module.Read(q.Modules)
	if err != nil {
		return h, err
	}
	sysctls, err := sysctl.Read(q.Sysctls)
	if err != nil {
		return h, err
	}
	h.Objects, h.MissingModules = append(modules, sysctls...), missing
	if q.Network {
		objects, err := k.network.Read()
		if err != nil {
			return h, err
		}
		h.Objects = append(h.Objects, objects...)
	}
	if q.NFT {
		objects, err := k.nft.Read()
		if err != nil {
			return h, err
		}
		h.Objects = append(h.Objects, objects...)
	}
	// An absent ip_vs is an empty table.
	if q.IPVS && ipvs.Loaded() {
		if err := k.open(); err != nil {
			return h, err
		}
		objects, err := k.table.Read()
		if err != nil {
			return h, fmt.Errorf("read the IPVS table: %w", err)
		}
		settings, err := k.table.ReadSettings()
		if err != nil {
			return h, err
		}
		h.Objects = append(append(h.Objects, objects...), settings...)
	}
	if q.Configs {
		objects, err := k.parts.Read()
		if err != nil {
			return h, err
		}
		h.Objects = append(h.Objects, objects...)
	}
	installed, err := k.packages.Read(q.Packages)
	if err != nil {
		return h, err
	}
	units, err := k.services.Read(q.Units)
	if err != nil {
		return h, err
	}
	h.Objects = append(append(h.Objects, installed...), units...)
	return h, nil
}

func (k *Kernel) open() error {
	if k.table != nil {
		return nil
	}
	table, err := ipvs.Open()
	if err != nil {
		return err
	}
	k.table = table
	return nil
}

// Connections implements txn.Kernel.
func (k *Kernel) Connections(services []state.ServiceID) ([]state.Connections, error) {
	if !ipvs.Loaded() {
		return nil, nil
	}
	if err := k.open(); err != nil {
		return nil, err
	}
	return k.table.Connections(services)
}

// Activity implements txn.Kernel.
func (k *Kernel) Activity(services []state.ServiceID) (a state.Activity, err error) {
	a.Programs = facts.Running("/proc", func(name string) bool { return name == "keepalived" || name == "ldirectord" })
	if !ipvs.Loaded() {
		return a, nil
	}
	if err := k.open(); err != nil {
		return a, err
	}
	a.Counters, err = k.table.Counters(services)
	return a, err
}

// Apply implements txn.Kernel.
func (k *Kernel) Apply(changes []state.Change) (done int, err error) {
	for from := 0; from < len(changes); {
		apply := k.applierOf(changes[from])
		to := from + 1
		for to < len(changes) && kindOf(changes[to]) == kindOf(changes[from]) {
			to++
		}
		n, err := apply(changes[from:to])
		if err != nil {
			return from + n, err
		}
		from = to
	}
	return len(changes), nil
}

// Facts implements txn.Kernel.
func (k *Kernel) Facts(traffic bool) (state.Facts, error) { return facts.Read(traffic) }

// Announce implements txn.Kernel.
func (k *Kernel) Announce(a state.Address) error { return k.network.Announce(a) }

// family is the package that knows a kind of objects.
type family int

const (
	ofModule family = iota
	ofSysctl
	ofNetwork
	ofNFT
	ofIPVSSettings
	ofIPVS
	ofPackages
	ofConfigs
	ofServices
)

func kindOf(c state.Change) family {
	o := c.After
	if o == nil {
		o = c.Before
	}
	switch o.(type) {
	case state.Module:
		return ofModule
	case state.Sysctl:
		return ofSysctl
	case state.Mark, state.Masquerade:
		return ofNFT
	case state.Timeouts, state.Sync:
		return ofIPVSSettings
	case state.Service, state.Destination:
		return ofIPVS
	case state.Package:
		return ofPackages
	case state.Config:
		return ofConfigs
	case state.Unit:
		return ofServices
	}
	return ofNetwork
}

func (k *Kernel) applierOf(c state.Change) func([]state.Change) (int, error) {
	switch kindOf(c) {
	case ofModule:
		return module.Apply
	case ofSysctl:
		return sysctl.Apply
	case ofNFT:
		return k.nft.Apply
	case ofIPVSSettings, ofIPVS:
		return k.applyIPVS
	case ofPackages:
		return k.packages.Apply
	case ofConfigs:
		return k.parts.Apply
	case ofServices:
		return k.applyServices
	}
	return k.network.Apply
}

func (k *Kernel) applyIPVS(changes []state.Change) (done int, err error) {
	if !ipvs.Loaded() {
		if !slices.ContainsFunc(changes, func(c state.Change) bool { return c.After != nil }) {
			return len(changes), nil // what is not there need not be deleted
		}
		if err := module.Load("ip_vs"); err != nil {
			return 0, err
		}
	}
	if err := k.open(); err != nil {
		return 0, err
	}
	if kindOf(changes[0]) == ofIPVSSettings {
		return k.table.ApplySettings(changes)
	}
	done, err = k.table.Apply(changes)
	var refused *ipvs.ApplyError
	if errors.As(err, &refused) {
		done = refused.Failed[0].Index
	}
	return done, err
}

// serviceIDs are the virtual services of the table.
func (k *Kernel) serviceIDs() ([]state.ServiceID, error) {
	if !ipvs.Loaded() {
		return nil, nil
	}
	if err := k.open(); err != nil {
		return nil, err
	}
	return k.table.Services()
}

// addresses are those that the host has by now.
func (k *Kernel) addresses() ([]netip.Addr, error) {
	host, err := k.Read(txn.Query{Network: true})
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, o := range host.Objects {
		if a, ok := o.(state.Address); ok {
			out = append(out, a.IP.Addr())
		}
	}
	return out, nil
}

// applyServices starts and stops services. One that sets up virtual services is
// started when they are there.
func (k *Kernel) applyServices(changes []state.Change) (done int, err error) {
	for n, c := range changes {
		if _, err := k.services.Apply(changes[n : n+1]); err != nil {
			return n, err
		}
		u, ok := c.After.(state.Unit)
		if !ok || !u.Running.Value || u.Name != checker.Keepalived && u.Name != checker.Ldirectord {
			continue
		}
		if err := k.parts.Started(u.Name); err != nil {
			return n, fmt.Errorf("service %s: %w", u.Name, err)
		}
	}
	return len(changes), nil
}

// Hold implements txn.Kernel. Without nftables clients are refused meanwhile.
func (k *Kernel) Hold(services []state.ServiceID) (release func()) {
	release, err := nft.Hold(services)
	if err != nil {
		return func() {}
	}
	return release
}
