package planner

import (
	"maps"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// fallbacks lets services that choose a server by hashing choose another one
// while one of theirs is drained; without that flag they refuse the clients that
// hash to it. dh has no such flag.
func (b *builder) fallbacks() {
	services := b.drainedServices()
	for _, at := range slices.Sorted(maps.Keys(services)) {
		s := services[at]
		flag := s.fallback()
		if flag == "" || slices.Contains(strings.Split(s.SchedulerFlags, ","), flag) {
			continue
		}
		b.fallback(s, flag)
	}
	for i := range b.plan.Changes {
		c := &b.plan.Changes[i]
		d, ok := c.After.(state.Destination)
		if !ok || c.Drain == 0 {
			continue
		}
		s := services[c.Host+" "+d.Service.String()]
		// A server that stays at the weight 0 is hashed to when the flag is gone.
		stays := !c.partly && s.fallback() != "" && !strings.Contains(s.SchedulerFlags, s.fallback())
		if s.Scheduler == "dh" || stays {
			c.Hazards = append(c.Hazards, HazardRefusesClients)
		}
	}
}

// fallback gives a service the flag before its drain and takes it away after. A
// service that has it from a drain that was cut off keeps it meanwhile.
func (b *builder) fallback(s drainedService, flag string) {
	with := s.Service
	with.SchedulerFlags = withFlag(s.SchedulerFlags, flag)
	begin := Change{ID: s.host + ":drain " + s.Key().String(), Addresses: s.want.addresses, Host: s.host, Action: Update,
		Before: s.Service, After: with, Claim: b.serviceClaim(s.want, with), Sensitive: sensitive(s.want), partly: true}
	end := begin
	end.ID, end.Before, end.After, end.last = s.host+":drained "+s.Key().String(), with, s.Service, true
	end.Claim = b.serviceClaim(s.want, s.Service)
	b.fixed[begin.ID], b.fixed[end.ID] = s.wave, WaveDirectorsDrop
	i := slices.IndexFunc(b.plan.Changes, func(c Change) bool {
		before, ok := c.Before.(state.Service)
		return ok && c.Host == s.host && c.After == state.Object(s.Service) && strings.Contains(before.SchedulerFlags, flag)
	})
	if i < 0 {
		b.plan.Changes = append(b.plan.Changes, begin, end)
		return
	}
	keeps := &b.plan.Changes[i]
	if keeps.Before == state.Object(with) { // it would do nothing else than take it away
		end.ID, end.Claim = keeps.ID, keeps.Claim
		b.fixed[end.ID] = WaveDirectorsDrop
		b.plan.Changes = slices.Delete(b.plan.Changes, i, i+1)
	} else {
		keeps.After, keeps.Claim = with, b.serviceClaim(s.want, with)
	}
	b.plan.Changes = append(b.plan.Changes, end)
}

// withFlag adds a scheduler flag, sorted.
func withFlag(flags, flag string) string {
	list := strings.FieldsFunc(flags+","+flag, func(r rune) bool { return r == ',' })
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ",")
}

func (b *builder) serviceClaim(w *want, s state.Service) *state.ClaimChange {
	return &state.ClaimChange{Claim: state.Claim{Topology: b.plan.Topology, Addresses: w.addresses,
		Value: state.Boxed{Object: s}, Sensitive: sensitive(w), Loose: w.loose()}}
}

// drainedService is a declared service with a destination that is drained.
type drainedService struct {
	state.Service
	host string
	want *want
	wave Wave // of the drain
}

// fallback is the flag that lets the service choose another server; "" where it
// needs or has none.
func (s drainedService) fallback() string { return fallbackFlag(s.Scheduler) }

// fallbackFlag is that of a scheduler; "" where there is none.
func fallbackFlag(scheduler string) string {
	if scheduler != "sh" && scheduler != "mh" {
		return ""
	}
	return scheduler + "-fallback"
}

// drainedServices are they as they will be when the drain begins, by host and
// identity.
func (b *builder) drainedServices() map[string]drainedService {
	out := map[string]drainedService{}
	for _, c := range b.plan.Changes {
		d, ok := c.After.(state.Destination)
		if !ok || c.Drain == 0 {
			continue
		}
		at := c.Host + " " + d.Service.String()
		x := drainedService{host: c.Host, wave: WaveDrain, want: b.hosts[c.Host][state.Key{Kind: state.KindService, ID: d.Service.String()}]}
		if b.moving[b.serverOf(c)] || out[at].wave == WaveMove {
			x.wave = WaveMove
		}
		out[at] = x
	}
	note := func(host string, o state.Object) {
		s, ok := o.(state.Service)
		if x, drained := out[host+" "+s.ServiceID.String()]; ok && drained {
			x.Service = s
			out[host+" "+s.ServiceID.String()] = x
		}
	}
	if len(out) > 0 {
		for host, live := range b.in.Live {
			for _, o := range live.Objects {
				note(host, o)
			}
		}
	}
	for _, c := range b.plan.Changes {
		note(c.Host, c.After)
	}
	maps.DeleteFunc(out, func(_ string, x drainedService) bool { return x.want == nil })
	return out
}
