package check

import (
	"fmt"

	"github.com/lvsform/lvsform/topology"
)

// checkers looks at which programs check the services of a host.
func (w *world) checkers() {
	first := map[*machine]*service{}
	for _, s := range w.services {
		if s.Checker == "" {
			continue
		}
		w.alwaysAlive(s)
		old, ok := first[s.director]
		if !ok {
			first[s.director] = s
			continue
		}
		if old.Checker == s.Checker {
			continue
		}
		w.report(finding{id: "LVS018", host: s.director.host.Name, object: s.resource.Path,
			summary: fmt.Sprintf("%s and %s for one table on %s", old.Checker, s.Checker, s.director.host.Name),
			detail:  fmt.Sprintf("%s is kept by %s and %s by %s. The kernel has one IPVS table, and each program believes it to be its own. Use one of the two for all services of the host.", old.resource.Path, old.Checker, s.resource.Path, s.Checker),
			at:      []topology.Range{checkerRange(s), checkerRange(old)}})
	}
}

// alwaysAlive looks for checks of ldirectord that are none.
func (w *world) alwaysAlive(s *service) {
	if s.HealthCheck == nil {
		return
	}
	what := "no real server is checked, and all of them count as alive: clients reach the dead ones too"
	switch s.HealthCheck.Type {
	case "on":
	case "off":
		what = "no real server is checked, and none is put into the table"
	default:
		return
	}
	w.report(finding{id: "LVS024", host: s.director.host.Name, object: s.resource.Path,
		summary: fmt.Sprintf("checktype %s is no check", s.HealthCheck.Type),
		detail:  fmt.Sprintf("With %q %s. Use health_check \"tcp\" {} (ldirectord's connect), or one of the service's own protocol.", s.HealthCheck.Type, what),
		at:      []topology.Range{rangeOf(s.resource, "health_check."+s.HealthCheck.Type)}})
}

// deadStays tells whether a dead real server keeps its place with the weight 0:
// ldirectord does so unless told otherwise, keepalived only when told.
func (s *service) deadStays() bool {
	if s.Quiescent != nil {
		return s.Checker != "" && *s.Quiescent
	}
	return s.Checker == "ldirectord"
}

// checkerRange is what says who keeps a service.
func checkerRange(s *service) topology.Range {
	if s.HealthCheck == nil {
		return rangeOf(s.resource, "checker")
	}
	return rangeOf(s.resource, "checker", "health_check."+s.HealthCheck.Type)
}
