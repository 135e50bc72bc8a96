package planner_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

const keepalivedByHand = `! by hand
global_defs {
  router_id here
}
vrrp_instance VI_1 {
  state MASTER
  interface eth0
  virtual_router_id 51
  priority 150
  authentication {
    auth_type PASS
    auth_pass geheim
  }
  virtual_ipaddress {
    172.18.20.128
  }
  notify_master /usr/bin/tell
}
# between
virtual_server 172.18.20.128 80 {
  protocol TCP
  lb_algo rr
  lb_kind DR
  real_server 172.18.20.11 80 {
    TCP_CHECK {
    }
  }
  real_server 172.18.20.12 80 {
    TCP_CHECK {
    }
  }
}
virtual_server 172.18.20.128 81 {
  protocol TCP
  real_server 172.18.20.11 81 {
  }
}
# last`

// keepalivedRest is what stays when the first instance and the first service go.
const keepalivedRest = `! by hand
global_defs {
  router_id here
}
# between
virtual_server 172.18.20.128 81 {
  protocol TCP
  real_server 172.18.20.11 81 {
  }
}
# last`

const ldirectordByHand = `checkinterval=5
virtual=172.18.20.128:80
    real=172.18.20.11:80 gate
    real=172.18.20.12:80 gate
    checktype=connect
    emailalert="root@localhost"
# between
virtual=172.18.20.128:81
    real=172.18.20.11:81 gate
    checktype=connect
`

const ldirectordRest = `checkinterval=5
# between
virtual=172.18.20.128:81
    real=172.18.20.11:81 gate
    checktype=connect
`

// byHand is a director that runs a hand-written configuration, and the topology
// that import makes of it but for the service of port 81.
func byHand(t *testing.T, program, text string) (*topology.Topology, map[string]planner.Live) {
	t.Helper()
	director := &topology.Host{Name: "dir1", Path: "host.dir1", Address: netip.MustParseAddr("172.18.20.126"), Managed: true}
	read, err := planner.ImportedConfig(director, program, text)
	if err != nil {
		t.Fatal(err)
	}
	top := read.Topology
	var resources []*topology.Resource
	for _, r := range top.Resources {
		if r.Path != "virtual_service.tcp_81" {
			resources = append(resources, r)
		}
	}
	top.Resources = resources
	live := bare("172.18.20.126")
	live.Objects = append(live.Objects, state.Config{Program: program, Text: text}, state.Package{Name: program},
		state.Unit{Name: program, Running: state.Some(true), Enabled: state.Some(true)},
		state.Address{Device: "eth0", IP: vip32, Label: "eth0", Scope: "global"}, state.Module{Name: "ip_vs"}, state.Module{Name: "ip_vs_rr"}, state.Module{Name: "ip_vs_wrr"})
	// What the program has made of it, a dead server included.
	id := state.ServiceID{Protocol: "tcp", Address: vip, Port: 80, Family: "ipv4"}
	live.Objects = append(live.Objects, state.Service{ServiceID: id, Scheduler: map[string]string{"keepalived": "rr", "ldirectord": "wrr"}[program], Netmask: 32},
		state.Destination{Service: id, Address: netip.MustParseAddr("172.18.20.11"), Port: 80, Weight: 0, Forward: "dr"})
	live.Objects.Sort()
	return top, map[string]planner.Live{"dir1": live}
}

func file(live map[string]planner.Live, program string) string {
	c, _ := live["dir1"].Objects.ByKey()[state.Config{Program: program}.Key()].(state.Config)
	return c.Text
}

func TestWhatIsWrittenByHandIsAdoptedAndTakenOverWithItsFirstChange(t *testing.T) {
	for program, tc := range map[string]struct{ text, rest, lost string }{
		"keepalived": {keepalivedByHand, keepalivedRest, "line 17, notify_master"},
		"ldirectord": {ldirectordByHand, ldirectordRest, "line 2, virtual"},
	} {
		t.Run(program, func(t *testing.T) {
			top, live := byHand(t, program, tc.text)
			p := build(t, planner.Input{Topology: top, Live: live})
			for _, c := range p.Changes {
				if _, changes := c.Object(); changes || c.Action != planner.Adopt {
					t.Errorf("%s %s, want adoptions alone", c.Action, c.ID)
				}
			}
			if len(p.Changes) == 0 {
				t.Fatal("nothing is adopted")
			}
			adopted := settle(t, top, live)
			if file(adopted, program) != tc.text {
				t.Errorf("adopted, the file is\n%s", file(adopted, program))
			}

			// What was only adopted stays when it is given up.
			left := destroy(t, top, adopted)
			if file(left, program) != tc.text || len(left["dir1"].Ledger.Entries) > 0 {
				t.Errorf("given up, the file is\n%s", file(left, program))
			}

			find[*topology.VirtualService](top, "virtual_service.tcp_80").RealServers[0].Weight = 7
			p = build(t, planner.Input{Topology: top, Live: adopted})
			want := "0 directors, add update dir1:config " + program + "/\n0 directors, add create dir1:config " + program + "/dir1\n"
			if diff := cmp.Diff(want, lines(p)); diff != "" {
				t.Error(diff)
			}
			if len(p.Diagnostics) != 1 || !strings.Contains(p.Diagnostics[0].Detail, tc.lost) {
				t.Errorf("what is lost is not told: %+v", p.Diagnostics)
			}
			if stale := p.Stale(adopted); len(stale) > 0 {
				t.Errorf("stale at once: %v", stale)
			}
			taken := settle(t, top, adopted)
			if diff := cmp.Diff(tc.rest, file(taken, program)); diff != "" {
				t.Error(diff)
			}
			part, _ := taken["dir1"].Objects.ByKey()[state.Config{Program: program, Topology: "dir1"}.Key()].(state.Config)
			if !strings.Contains(part.Text, "172.18.20.12") || strings.Contains(part.Text, "81") ||
				program == "keepalived" && !strings.Contains(part.Text, "vrrp_instance VI_1 {") {
				t.Errorf("taken over is\n%s", part.Text)
			}
			if left := destroy(t, top, taken); file(left, program) != tc.rest {
				t.Errorf("destroyed, the file is\n%s", file(left, program))
			}
		})
	}
}

func TestAServiceThatStandsByHandIsNotDefinedTwice(t *testing.T) {
	top, live := byHand(t, "keepalived", keepalivedByHand)
	find[*topology.VirtualService](top, "virtual_service.tcp_80").Scheduler = "wrr"
	taken := settle(t, top, live) // never adopted
	if diff := cmp.Diff(keepalivedRest, file(taken, "keepalived")); diff != "" {
		t.Error(diff)
	}
	// The other one comes to it later.
	more, _ := byHand(t, "keepalived", strings.ReplaceAll(keepalivedByHand, "172.18.20.128 81", "172.18.20.128 82"))
	find[*topology.VirtualService](more, "virtual_service.tcp_80").Scheduler = "wrr"
	find[*topology.VirtualService](more, "virtual_service.tcp_82").Port = 81
	find[*topology.VirtualService](more, "virtual_service.tcp_82").RealServers[0].Port = 81
	adopted := settle(t, more, taken)
	if diff := cmp.Diff(keepalivedRest, file(adopted, "keepalived")); diff != "" {
		t.Errorf("adopted, the file is not as it was: %s", diff)
	}
	find[*topology.VirtualService](more, "virtual_service.tcp_82").Scheduler = "wrr"
	p := build(t, planner.Input{Topology: more, Live: adopted})
	if diff := cmp.Diff("0 directors, add update dir1:config keepalived/\n0 directors, add update dir1:config keepalived/dir1\n", configs(p)); diff != "" {
		t.Error(diff)
	}
	if rest := file(settle(t, more, adopted), "keepalived"); strings.Contains(rest, "virtual_server") {
		t.Errorf("it is defined twice:\n%s", rest)
	}
}

func TestABlockIsTakenOverAsAWhole(t *testing.T) {
	grouped := strings.ReplaceAll(keepalivedByHand, "virtual_server 172.18.20.128 80 {", "virtual_server_group web {\n 172.18.20.128 80\n 172.18.20.129 80\n}\nvirtual_server group web {")
	for name, tc := range map[string]struct{ text, want string }{
		"a group of services": {grouped, "stands in one block with virtual_server tcp/172.18.20.129:80"},
		"a line for two":      {strings.Replace(keepalivedByHand, "}\n# between", "} static_routes { }\n# between", 1), "shares line 5"},
	} {
		t.Run(name, func(t *testing.T) {
			top, live := byHand(t, "keepalived", tc.text)
			var resources []*topology.Resource
			for _, r := range top.Resources {
				if !strings.HasSuffix(r.Path, "129") {
					resources = append(resources, r)
				}
			}
			top.Resources = resources
			p := planner.Build(planner.Input{Topology: top, Live: live})
			if !p.Diagnostics.HasErrors() || !strings.Contains(p.Diagnostics[0].Summary, tc.want) {
				t.Errorf("%+v, want %s", p.Diagnostics, tc.want)
			}
		})
	}
}
