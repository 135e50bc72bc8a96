//go:build linux

package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// growthSizes are the numbers of hosts, and of objects on one host. The cost of
// each one is compared with that of one in the smallest.
var growthSizes = []int{1000, 3000, 10000}

// growthLimit is how many times dearer one host or object may be among ten
// times as many: sorting and smaller shares of the processor's caches cost
// something, a search for each would cost ten times as much.
const growthLimit = 2

// growthPart measures the parts of a plan that need no host, in this process.
func growthPart(ctx context.Context, o options, dir string) (report, error) {
	var all report
	for _, part := range []struct {
		name, of string
		prepare  func(n int) (func() error, error)
	}{
		{"hcl.Load", "hosts", func(n int) (func() error, error) { return loadHosts(dir, n) }},
		{"planner.Build", "hosts", func(n int) (func() error, error) { return planHosts(n), nil }},
		{"planner.Build", "destinations on one host", func(n int) (func() error, error) { return planDestinations(n), nil }},
		{"planner.Build, no change", "destinations on one host", planSame},
	} {
		var first float64
		for _, n := range growthSizes {
			f, err := part.prepare(n)
			if err != nil {
				return all, fmt.Errorf("%s of %d: %w", part.name, n, err)
			}
			var samples []sample
			for range o.Runs + 1 {
				if err := ctx.Err(); err != nil {
					return all, err
				}
				runtime.GC()
				before := usedCPU(syscall.RUSAGE_SELF)
				took, err := timed(f)
				if err != nil {
					return all, fmt.Errorf("%s of %d: %w", part.name, n, err)
				}
				samples = append(samples, sample{Wall: took, CPU: usedCPU(syscall.RUSAGE_SELF) - before})
			}
			r := row{Group: fmt.Sprintf("%d %s", n, part.of), Name: part.name,
				Sample: median(samples[1:]), Runs: o.Runs}
			// The time of the processor: less of it depends on what else the
			// machine does.
			each := r.Sample.CPU.Seconds() / float64(n)
			if first == 0 {
				first = each
				r.Ratios = []string{fmt.Sprintf("%.0f µs each", each*1e6)}
			} else {
				r.atMost("times the smallest's cost of one", each/first, growthLimit)
			}
			all = append(all, r)
			logf("%s of %s: %s, %s of CPU", r.Name, r.Group,
				r.Sample.Wall.Round(time.Millisecond), r.Sample.CPU.Round(time.Millisecond))
		}
	}
	return all, nil
}

// loadHosts writes the fleet's configuration for n hosts.
func loadHosts(dir string, n int) (func() error, error) {
	dir = filepath.Join(dir, fmt.Sprintf("load-%d", n))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	var values strings.Builder
	values.WriteString("servers = {\n")
	for i := range n {
		fmt.Fprintf(&values, "  h%05d = %q\n", i, ip(10, 77, i))
	}
	values.WriteString("}\n")
	for name, text := range map[string]string{"main.hcl": configuration, "servers.auto.vars.hcl": values.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	return func() error {
		t, diags := hcl.Load(hcl.Options{Dir: dir})
		if diags.HasErrors() {
			return fmt.Errorf("%s: %s", diags[0].Summary, diags[0].Detail)
		}
		if len(t.Hosts) != n {
			return fmt.Errorf("%d hosts were loaded", len(t.Hosts))
		}
		return nil
	}, nil
}

// planHosts plans n bare real servers.
func planHosts(n int) func() error {
	vip := netip.MustParsePrefix("10.99.0.1/32")
	t := &topology.Topology{Name: "bench"}
	live := map[string]planner.Live{}
	arp := map[string]string{"net.ipv4.conf.all.arp_ignore": "1", "net.ipv4.conf.all.arp_announce": "2",
		"net.ipv4.conf.lo.arp_ignore": "1", "net.ipv4.conf.lo.arp_announce": "2"}
	var bare state.Objects
	for name := range arp {
		bare = append(bare, state.Sysctl{Name: name, Value: "0"})
	}
	bare.Sort()
	for i := range n {
		name := fmt.Sprintf("h%05d", i)
		t.Hosts = append(t.Hosts, &topology.Host{Name: name, Path: "host." + name, Address: ip(10, 77, i), Managed: true})
		live[name] = planner.Live{Objects: bare}
		for path, body := range map[string]topology.Body{
			"sysctl.arp": &topology.Sysctl{Settings: arp},
			"address.lo": &topology.Address{IP: vip, Device: "lo", Label: "lo:0"},
			"route.lo":   &topology.Route{To: vip, Device: "lo"},
		} {
			t.Resources = append(t.Resources, &topology.Resource{Path: fmt.Sprintf("%s[%q]", path, name), Host: name, Body: body})
		}
	}
	sortResources(t)
	return plans(planner.Input{Topology: t, Live: live}, 6*n)
}

// planDestinations plans services of ten on one director that has none.
func planDestinations(n int) func() error {
	return plans(planner.Input{Topology: director(n), Live: directorLive(nil)}, n)
}

// planSame plans what is there already, with its ledger.
func planSame(n int) (func() error, error) {
	in := planner.Input{Topology: director(n), Live: directorLive(nil)}
	var there state.Objects
	var claims []state.ClaimChange
	for _, c := range planner.Build(in).Changes {
		if change, ok := c.Object(); ok && change.After != nil {
			there = append(there, change.After)
		}
		if c.Claim != nil {
			claims = append(claims, *c.Claim)
		}
	}
	live := directorLive(there)
	host := live["director"]
	host.Ledger = host.Ledger.Update(claims)
	live["director"] = host
	in.Live = live
	return func() error {
		if p := planner.Build(in); !p.Empty() {
			return fmt.Errorf("%d changes of what is there already", len(p.Changes))
		}
		return nil
	}, nil
}

func director(destinations int) *topology.Topology {
	t := &topology.Topology{Name: "bench", Hosts: []*topology.Host{
		{Name: "director", Path: "host.director", Address: ip(10, 77, 0), Managed: true}}}
	for i := range destinations / 10 {
		service := &topology.VirtualService{Protocol: "tcp", Address: ip(192, 0, i), Port: 80, Family: "ipv4", Scheduler: "wlc"}
		for k := range 10 {
			service.RealServers = append(service.RealServers, topology.RealServer{
				Name: fmt.Sprint("rs", k), Address: ip(10, i%256, k), Port: 80, Weight: 1, Forward: "dr"})
		}
		t.Resources = append(t.Resources, &topology.Resource{
			Path: fmt.Sprintf("virtual_service.of[\"%05d\"]", i), Host: "director", Body: service})
	}
	sortResources(t)
	return t
}

func directorLive(table state.Objects) map[string]planner.Live {
	// It is on the network of its real servers, and every VIP is local to it.
	objects := append(state.Objects{state.Module{Name: "ip_vs"}, state.Module{Name: "ip_vs_wlc"},
		state.Address{Device: "eth0", IP: netip.PrefixFrom(ip(10, 77, 0), 8), Scope: "global"},
		state.Route{To: netip.PrefixFrom(ip(10, 0, 0), 8).Masked(), Table: state.TableMain, Device: "eth0", Scope: "link", Protocol: 2},
		state.Route{To: netip.PrefixFrom(ip(192, 0, 0), 8).Masked(), Table: state.TableLocal, Type: "local", Device: "lo"}}, table...)
	return map[string]planner.Live{"director": {Objects: objects}}
}

func sortResources(t *topology.Topology) {
	slices.SortFunc(t.Resources, func(a, b *topology.Resource) int { return strings.Compare(a.Path, b.Path) })
}

// plans builds a plan that must hold at least so many changes.
func plans(in planner.Input, least int) func() error {
	return func() error {
		p := planner.Build(in)
		for _, d := range append(p.Diagnostics, p.Checks...) {
			if d.Severity == topology.Error {
				return fmt.Errorf("%s: %s", d.Summary, d.Detail)
			}
		}
		if len(p.Changes) < least {
			return fmt.Errorf("%d changes, want at least %d", len(p.Changes), least)
		}
		return nil
	}
}
