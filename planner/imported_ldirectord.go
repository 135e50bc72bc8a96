package planner

import (
	"strings"

	"github.com/lvsform/lvsform/formats/ldirectord"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

func (f *ImportedFile) ldirectord(director *topology.Host, text string) error {
	c, issues, err := ldirectord.Parse(text)
	if err != nil {
		return err
	}
	for _, i := range issues {
		f.left(i.Line, i.Keyword, "%s", i.Why)
	}
	lines := map[string]int{}
	for _, b := range ldirectord.Blocks(text) {
		lines[b.ID] = b.First
	}
	f.globals(text, c.Global)
	s := ldirectordOf(c.Effective())
	im := newImporter(director, objectsOf(s.services))
	for _, v := range s.services {
		b := im.services[v.ServiceID]
		directedBy(b, v.ldirectord, s.global)
		line := lines[v.ldirectord.ID()]
		f.Lines[im.pathOf(b)] = line
		f.compareVirtual(line, v, b)
	}
	f.Topology = im.sorted()
	return nil
}

// globals lists what the file says of ldirectord itself. The interval is every
// service's.
func (f *ImportedFile) globals(text string, g ldirectord.Global) {
	g.CheckInterval = 0
	if g.ReaddQuiescent.Value { // as lvsform writes it
		g.ReaddQuiescent = state.Opt[bool]{}
	}
	said, err := ldirectord.Config{Global: g}.Render()
	if err != nil {
		return
	}
	for l := range strings.Lines(said) {
		keyword, _, _ := strings.Cut(l, " ")
		why := "says how ldirectord itself runs, which is not a topology's: leave it in the file"
		if strings.HasPrefix(keyword, "email") {
			why = "lvsform sends no mail: leave it in the file"
		}
		f.left(lineOf(text, keyword), keyword, "%s", why)
	}
}

func (f *ImportedFile) compareVirtual(line int, v served, b *topology.VirtualService) {
	declared, err := ldirectordService(b, v.Service, destinationsOf(v))
	if err != nil {
		f.left(line, "virtual", "cannot be written: %s", err)
		return
	}
	s := settings{program: programLdirectord, services: []served{declared}}.effective()
	f.compare(line, "virtual", onlyThis(programLdirectord, v), onlyThis(programLdirectord, s.services[0]))
}

// directedBy gives a service what ldirectord does beside the table.
func directedBy(b *topology.VirtualService, v ldirectord.Virtual, g ldirectord.Global) {
	b.Checker = programLdirectord
	if fb := v.Fallback; fb != nil {
		b.Fallback = &topology.Fallback{Address: fb.Address, Port: fb.Port}
		for forward, name := range ldirectordForwards {
			if name == fb.Forward {
				b.Fallback.Forward = forward
			}
		}
	}
	if !v.Quiescent.Value {
		no := false
		b.Quiescent = &no
	}
	h := &topology.HealthCheck{}
	b.HealthCheck = h
	if v.Check == ldirectord.CheckOn || v.Check == ldirectord.CheckOff {
		h.Type = v.Check
		return
	}
	h.Interval = unless(g.CheckInterval, DefaultCheckInterval)
	h.Timeout = unless(v.CheckTimeout, DefaultCheckTimeout)
	if retries := v.FailureCount - 1; retries != DefaultLdirectordRetries {
		h.Retries = &retries
	}
	h.Port = v.CheckPort
	switch v.Check {
	case ldirectord.CheckNegotiate:
		h.Timeout = unless(v.NegotiateTimeout, DefaultCheckTimeout)
		negotiated(h, v)
	case ldirectord.CheckPing:
		h.Type = "ping"
	case ldirectord.CheckExternal, ldirectord.CheckExternalPerl:
		h.Type, h.Command, h.Port = "script", v.CheckCommand, 0
	case ldirectord.CheckConnect:
		if h.Type = "tcp"; v.Protocol == "udp" { // which it asks for a ping
			h.Type, h.Port = "ping", 0
		}
	default:
		h.Type = "tcp"
	}
}

// negotiated is a check that speaks with the server; of what lvsform does not
// speak, a connection is left.
func negotiated(h *topology.HealthCheck, v ldirectord.Virtual) {
	switch v.Service {
	case "http", "https":
		h.Type, h.Path, h.HostHeader = v.Service, unless(v.Request, "/"), v.VirtualHost
		h.Contains, _ = ldirectord.Text(v.Receive)
	case "dns":
		h.Type, h.Name = "dns", v.Request
	case "smtp":
		h.Type = "smtp"
	default:
		h.Type = "tcp"
	}
	if h.Type == "tcp" && v.Protocol == "udp" {
		h.Type, h.Port = "ping", 0
	}
}
