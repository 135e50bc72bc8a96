package ldirectord

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/lvsform/lvsform/state"
)

// What ldirectord 4.12.0 takes where a text says nothing.
const (
	defaultCheckInterval = 10 * time.Second
	defaultCheckTimeout  = 5 * time.Second
	defaultNegotiate     = 30 * time.Second
)

// Effective is the configuration with all of ldirectord's own choices filled in,
// and without what has no effect: two that make it do the same are the same.
func (c Config) Effective() Config {
	c.Global.CheckInterval = cmp.Or(c.Global.CheckInterval, defaultCheckInterval)
	for _, o := range []*state.Opt[bool]{&c.Global.AutoReload, &c.Global.ReaddQuiescent, &c.Global.Fork, &c.Global.Supervised} {
		*o = o.Or(state.Some(false))
	}
	c.Services = slices.Clone(c.Services)
	for i := range c.Services {
		c.Services[i].effective()
	}
	return c
}

func (v *Virtual) effective() {
	v.Scheduler = cmp.Or(v.Scheduler, "wrr")
	v.Quiescent, v.CleanStop = v.Quiescent.Or(state.Some(false)), v.CleanStop.Or(state.Some(true))
	v.Check, v.Service = cmp.Or(v.Check, CheckNegotiate), cmp.Or(v.Service, serviceOf(v.Port))
	if v.Check == CheckNegotiate && v.Service == "none" { // every server is taken for alive
		v.Check = CheckOn
	}
	v.FailureCount = cmp.Or(v.FailureCount, 1)
	check, negotiate := cmp.Or(v.CheckTimeout, v.NegotiateTimeout, defaultCheckTimeout), cmp.Or(v.NegotiateTimeout, v.CheckTimeout, defaultNegotiate)
	v.CheckTimeout, v.NegotiateTimeout = check, negotiate
	if v.Fallback != nil {
		own := *v.Fallback
		own.Port = cmp.Or(own.Port, v.Port)
		v.Fallback = &own
	}
	v.Reals = slices.Clone(v.Reals)
	slices.SortStableFunc(v.Reals, func(a, b Real) int { return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Port, b.Port)) })
	asks := v.Check == CheckNegotiate || v.Check == CheckCombined
	switch {
	case asks && (v.Service == "http" || v.Service == "https"):
		v.Request, v.HTTPMethod = "/"+strings.TrimLeft(v.Request, "/"), cmp.Or(v.HTTPMethod, "GET")
	case !asks:
		v.Service, v.Request, v.Receive, v.HTTPMethod, v.VirtualHost = "none", "", "", "", ""
		v.Login, v.Password, v.Secret, v.Database = "", "", "", ""
		for i := range v.Reals {
			v.Reals[i].Check = nil
		}
	}
	if v.Check == CheckNegotiate {
		v.CheckTimeout = 0
	} else if v.Check != CheckCombined {
		v.NegotiateTimeout = 0
	}
	if v.Check == CheckOn || v.Check == CheckOff {
		v.CheckTimeout, v.FailureCount, v.CheckPort, v.CheckCount = 0, 0, 0, 0
	}
	if v.Check == CheckPing {
		v.CheckPort = 0
		v.CheckCount = cmp.Or(v.CheckCount, 1)
	} else {
		v.CheckCount = 0
	}
	if v.Check != CheckExternal && v.Check != CheckExternalPerl {
		v.CheckCommand = ""
	}
}

// serviceOf is what ldirectord speaks with a server of a port by itself.
func serviceOf(port uint16) string {
	switch port {
	case 21:
		return "ftp"
	case 25:
		return "smtp"
	case 53:
		return "dns"
	case 80:
		return "http"
	case 110:
		return "pop"
	case 119:
		return "nntp"
	case 143:
		return "imap"
	case 389:
		return "ldap"
	case 443:
		return "https"
	case 587:
		return "submission"
	case 636:
		return "ldaps"
	case 993:
		return "imaps"
	case 995:
		return "pops"
	case 1521:
		return "oracle"
	case 1812:
		return "radius"
	case 3128:
		return "http_proxy"
	case 3306:
		return "mysql"
	case 5060:
		return "sip"
	case 5432:
		return "pgsql"
	}
	return "none"
}
