package planner

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// Exported is all that a program can do of what is declared on a host.
type Exported struct {
	Text      string   // with the passwords in it
	Sensitive []string // as Change.Sensitive
	// Left are, by resource, what the program's file cannot say.
	Left []string
	Took map[string]bool // the resources in the text, by path
}

// Export is the whole configuration of keepalived or ldirectord for what a host
// declares, whoever is to check it: a service that nobody checks is one whose
// servers are always alive.
func Export(t *topology.Topology, host, program string) (*Exported, error) {
	out := &Exported{Took: map[string]bool{}}
	taken := *byHand(t)
	taken.Resources = nil
	var intervals []time.Duration
	for _, r := range t.Resources {
		if r.Host != host {
			continue
		}
		one, why := out.taken(r, program)
		if one == nil {
			continue
		}
		alone := taken
		alone.Resources = []*topology.Resource{one}
		if err := exportable(&alone, host); err != nil {
			out.Left = append(out.Left, fmt.Sprintf("%s: %s", r.Path, err))
			continue
		}
		for _, w := range why {
			out.Left = append(out.Left, fmt.Sprintf("%s: %s", r.Path, w))
		}
		if s, ok := one.Body.(*topology.VirtualService); ok && s.HealthCheck != nil && s.HealthCheck.Type != "on" {
			intervals = append(intervals, s.HealthCheck.Interval)
		}
		taken.Resources = append(taken.Resources, one)
		out.Took[r.Path] = true
	}
	if program == programLdirectord && len(slices.Compact(slices.Sorted(slices.Values(intervals)))) > 1 {
		out.Left = append(out.Left, "interval: ldirectord has one for all services, the shortest")
	}
	hosts, diags := declare(&taken)
	if err := firstError(diags); err != nil {
		return nil, err
	}
	for _, w := range hosts[host].configs(t.Name) {
		out.Text, out.Sensitive = w.object.(state.Config).Text, sensitive(w)
	}
	return out, nil
}

func firstError(diags topology.Diagnostics) error {
	for _, d := range diags {
		if d.Severity == topology.Error {
			return fmt.Errorf("%s: %s", d.Summary, d.Detail)
		}
	}
	return nil
}

// exportable tells why a topology of one resource cannot be configured.
func exportable(t *topology.Topology, host string) error {
	hosts, diags := declare(t)
	for _, d := range diags {
		if d.Severity == topology.Error {
			return fmt.Errorf("%s", d.Detail)
		}
	}
	if len(hosts[host].configs(t.Name)) == 0 {
		return fmt.Errorf("it has no real server and no fallback")
	}
	return nil
}

// taken is a resource as the program would keep it; nil is none of its business.
func (out *Exported) taken(r *topology.Resource, program string) (*topology.Resource, []string) {
	one := *r
	switch b := r.Body.(type) {
	case *topology.VRRPInstance:
		if program != programKeepalived {
			out.Left = append(out.Left, r.Path+": ldirectord moves no addresses: keepalived does")
			return nil, nil
		}
		return &one, nil
	case *topology.VirtualService:
		own := *b
		own.Checker = program
		var why []string
		if h := b.HealthCheck; h != nil {
			check := *h
			own.HealthCheck = &check
		}
		if program == programKeepalived {
			why = forKeepalived(&own, b.Checker)
		} else {
			why = forLdirectord(&own, b.Checker)
		}
		one.Body = &own
		return &one, why
	}
	return nil, nil
}

// forKeepalived says what another checker's defaults are.
func forKeepalived(s *topology.VirtualService, checker string) (why []string) {
	if checker != programLdirectord {
		return nil
	}
	if s.Quiescent == nil {
		s.Quiescent = pointer(true)
	}
	h := s.HealthCheck
	if h == nil {
		return nil
	}
	switch h.Type {
	case "on":
		s.HealthCheck = nil
	case "off":
		s.HealthCheck = nil
		why = append(why, "its servers stay out of ldirectord's table (off), and are in keepalived's")
	default:
		if h.Retries == nil {
			h.Retries = pointer(DefaultLdirectordRetries)
		}
	}
	return why
}

// forLdirectord takes out of a service what ldirectord has nothing for.
func forLdirectord(s *topology.VirtualService, checker string) (why []string) {
	if s.Quiescent == nil && checker != programLdirectord {
		s.Quiescent = pointer(false)
	}
	if s.Quorum > 1 {
		why = append(why, fmt.Sprintf("quorum %d: ldirectord serves as long as one real server is alive", s.Quorum))
	}
	s.Quorum = 0
	h := s.HealthCheck
	if h == nil {
		s.HealthCheck = &topology.HealthCheck{Type: "on"}
		return why
	}
	if h.Type == "udp" || h.Type == "dns" && h.Name == "" {
		s.HealthCheck = &topology.HealthCheck{Type: "on"}
		return append(why, fmt.Sprintf("health_check %q: ldirectord makes no such check, and takes all servers for alive", h.Type))
	}
	var lost []string
	for _, one := range []struct {
		name string
		said bool
	}{{"retry_delay", h.RetryDelay != 0}, {"status", len(h.Status) > 0}, {"record", h.Record != ""}, {"helo", h.HELO != ""}, {"user", h.User != ""}} {
		if one.said {
			lost = append(lost, one.name)
		}
	}
	if len(lost) > 0 {
		why = append(why, "health_check: ldirectord has nothing for "+strings.Join(lost, ", "))
	}
	if h.Timeout%time.Second != 0 || h.Interval%time.Second != 0 {
		why = append(why, "health_check: ldirectord counts in whole seconds, rounded up")
	}
	h.RetryDelay, h.Status, h.Record, h.HELO, h.User = 0, nil, "", "", ""
	if checker != programLdirectord && h.Retries == nil {
		h.Retries = pointer(DefaultCheckRetries)
	}
	return why
}

func pointer[T any](v T) *T { return &v }
