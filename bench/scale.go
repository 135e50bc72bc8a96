//go:build linux

package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
)

// What the largest size may take.
const (
	scaleTime   = 60 * time.Second
	scaleMemory = 4e9 // bytes
)

//go:embed peers/ten-resources.hcl
var tenResources string

// scalePart measures validate, and the planning of recorded hosts, with ten
// resources on each host, as processes of their own.
func scalePart(ctx context.Context, o options, dir string) (report, error) {
	first := map[string]sample{}
	var all report
	for _, n := range growthSizes {
		work, err := writeScale(dir, n)
		if err != nil {
			return all, err
		}
		for _, step := range []struct {
			name string
			args []string
		}{
			{"lvsform validate", []string{filepath.Join(dir, "lvsform"), "validate"}},
			{"plan of recorded hosts", []string{filepath.Join(dir, "bench"), "plan-recorded", "recorded.json", fmt.Sprint(8 * n)}},
		} {
			var samples []sample
			for range max(1, (o.Runs+1)/2) {
				s, _, err := measure(ctx, job{Dir: work, Args: step.args, Peak: true})
				if err != nil {
					return all, fmt.Errorf("%s of %d hosts: %w", step.name, n, err)
				}
				samples = append(samples, s)
			}
			r := row{Group: fmt.Sprintf("%d hosts, %d resources", n, 10*n), Name: step.name, Sample: median(samples), Runs: len(samples)}
			if base, ok := first[step.name]; ok {
				r.atMost("times the smallest's cost of one", (r.Sample.CPU.Seconds()/float64(n))/(base.CPU.Seconds()/float64(growthSizes[0])), growthLimit)
			} else {
				first[step.name] = r.Sample
			}
			r.atMost("s", r.Sample.Wall.Seconds(), scaleTime.Seconds())
			r.atMost("MB", float64(r.Sample.RSS)/1e6, scaleMemory/1e6)
			all = append(all, r)
			logf("%s of %s: %s, %s of CPU, %s MB", r.Name, r.Group, seconds(r.Sample.Wall), seconds(r.Sample.CPU), megabytes(r.Sample.RSS))
		}
	}
	return all, nil
}

// writeScale writes a configuration of n hosts, and what was recorded of them.
func writeScale(dir string, n int) (string, error) {
	dir = filepath.Join(dir, fmt.Sprintf("scale-%d", n))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	recorded := map[string]state.Objects{}
	var values strings.Builder
	values.WriteString("servers = {\n")
	for i := range n {
		name, address := fmt.Sprintf("h%05d", i), ip(10, 77, i)
		fmt.Fprintf(&values, "  %s = %q\n", name, address)
		recorded[name] = bareServer(address)
	}
	values.WriteString("}\n")
	body, err := json.Marshal(recorded)
	if err != nil {
		return "", err
	}
	for name, text := range map[string]string{"main.hcl": tenResources, "servers.auto.vars.hcl": values.String(), "recorded.json": string(body)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// bareServer is a host as its distribution left it.
func bareServer(address netip.Addr) state.Objects {
	objects := state.Objects{
		state.Link{Name: "lo", Kind: "device", Up: state.Some(true), MTU: state.Some(65536)},
		state.Link{Name: "eth0", Kind: "device", Up: state.Some(true), MTU: state.Some(1500)},
		state.Address{Device: "lo", IP: netip.MustParsePrefix("127.0.0.1/8"), Scope: "host"},
		state.Address{Device: "eth0", IP: netip.PrefixFrom(address, 12), Scope: "global"},
		state.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Table: state.TableMain, Via: netip.MustParseAddr("10.64.0.1"), Device: "eth0", Scope: "global"},
		state.Route{To: netip.MustParsePrefix("10.64.0.0/12"), Table: state.TableMain, Device: "eth0", Scope: "link", Protocol: 2, Source: address},
	}
	for _, device := range []string{"all", "lo", "eth0"} {
		for _, name := range []string{"arp_ignore", "arp_announce", "rp_filter"} {
			objects = append(objects, state.Sysctl{Name: "net.ipv4.conf." + device + "." + name, Value: "0"})
		}
	}
	return objects
}

// planRole loads the configuration in the working directory and plans it for
// recorded hosts: args are their file, and how many changes there are at least.
func planRole(_ context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: plan-recorded FILE CHANGES")
	}
	body, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var recorded map[string]state.Objects
	if err := json.Unmarshal(body, &recorded); err != nil {
		return err
	}
	t, diags := hcl.Load(hcl.Options{Dir: "."})
	if diags.HasErrors() {
		return fmt.Errorf("%s: %s", diags[0].Summary, diags[0].Detail)
	}
	live := make(map[string]planner.Live, len(recorded))
	for name, objects := range recorded {
		live[name] = planner.Live{Objects: objects}
	}
	var least int
	if _, err := fmt.Sscan(args[1], &least); err != nil {
		return err
	}
	return plans(planner.Input{Topology: t, Live: live}, least)()
}
