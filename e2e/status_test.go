//go:build lab

package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// liveService is a service as status and verify tell of it in JSON.
type liveService struct {
	Service  string
	Up, Of   int
	Sent     int
	Answered int
	Counted  int
	OK       bool
	Problems []string
	Servers  []struct {
		Name        string
		State       string
		Weight      *int
		Connections int
		Inactive    int
	}
}

// status is what `status --json` tells of a director's services.
func (s *scene) status(director string) []liveService {
	s.t.Helper()
	var report struct {
		Hosts []struct {
			Name     string
			Services []liveService
		}
	}
	got := s.must(0, "status", "--json")
	if err := json.Unmarshal([]byte(got.out), &report); err != nil {
		s.t.Fatalf("status --json: %v\n%s", err, got.out)
	}
	for _, h := range report.Hosts {
		if h.Name == director {
			return h.Services
		}
	}
	s.t.Fatalf("status knows no director %s:\n%s", director, got.out)
	return nil
}

// verified is what `verify --json` tells of the services.
func (s *scene) verified(code int, args ...string) []liveService {
	s.t.Helper()
	var report struct{ Services []liveService }
	got := s.must(code, append([]string{"verify", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(got.out), &report); err != nil {
		s.t.Fatalf("verify --json: %v\n%s", err, got.out)
	}
	return report.Services
}

func TestStatusAndVerifyTellWhatServes(t *testing.T) {
	config, err := os.ReadFile("../examples/dr-wlc/main.hcl")
	if err != nil {
		t.Fatal(err)
	}
	// Neither the director nor a real server can be a client of the VIP.
	s := newScene(t, string(config)+`
host "ops" {
  address = "172.18.20.50"
  interface "eth0" { addresses = ["172.18.20.50/24"] }
}
`)
	s.apply()
	s.serve()
	before := s.on("dir1", "ipvsadm -Sn")
	web := s.status("dir1")[0]
	if web.Service != "tcp/172.18.20.128:80" || web.Up != 2 || web.Of != 2 || *web.Servers[0].Weight != 1 || *web.Servers[1].Weight != 2 {
		t.Errorf("status of what was just applied: %+v", web)
	}

	const requests = 60
	web = s.verified(0, "--from", "ops", "--requests", "60")[0]
	if web.Sent != requests || web.Answered != requests || web.Counted != requests || !web.OK {
		t.Errorf("verify: %+v", web)
	}
	for i, least := range []int{requests/3 - 6, requests*2/3 - 6} {
		if got := web.Servers[i].Connections; got < least {
			t.Errorf("%s got %d connections, want %d and more", web.Servers[i].Name, got, least)
		}
	}
	// A second run does not count what the first has sent.
	if web = s.verified(0, "--from", "ops", "--requests", "60")[0]; web.Counted != requests {
		t.Errorf("verify again: %+v", web)
	}
	total := 0
	for _, server := range s.status("dir1")[0].Servers {
		total += server.Connections
	}
	if total != 2*requests {
		t.Errorf("status counts %d connections, want %d", total, 2*requests)
	}
	if after := s.on("dir1", "ipvsadm -Sn"); after != before {
		t.Errorf("the table changed:\n%s\n%s", before, after)
	}
	s.wantNoChanges()

	s.on("dir1", "ipvsadm -d -t 172.18.20.128:80 -r 172.18.20.125:80")
	web = s.status("dir1")[0]
	if web.Up != 1 || web.Of != 2 || web.Servers[1].State != "missing" || web.Servers[1].Weight != nil {
		t.Errorf("status without rs2: %+v", web)
	}
	web = s.verified(1, "--from", "ops", "--requests", "30")[0]
	if web.Answered != 30 || !strings.Contains(strings.Join(web.Problems, "\n"), "rs2 is missing in the table of dir1") {
		t.Errorf("verify without rs2: %+v", web)
	}
}
