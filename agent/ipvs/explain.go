//go:build linux

package ipvs

import (
	"errors"
	"fmt"
	"math"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// name says what a change does, to which object: "create service tcp/…".
func name(c state.Change) string {
	verb, object := "update", c.After
	switch {
	case c.Before == nil:
		verb = "create"
	case c.After == nil:
		verb, object = "delete", c.Before
	}
	switch o := object.(type) {
	case state.Service:
		return verb + " service " + o.ServiceID.String()
	case state.Destination:
		return fmt.Sprintf("%s destination %s of service %s", verb, netip.AddrPortFrom(o.Address, o.Port), o.Service)
	case nil:
		return verb + " nothing"
	}
	return verb + " " + object.Key().String()
}

// explain says what the kernel's refusal of a change means, and what to do.
func explain(c state.Change, err error) error {
	meaning := ""
	switch s, isService := c.After.(state.Service); {
	case errors.Is(err, unix.EPERM):
		meaning = "needs root (CAP_NET_ADMIN)"
	case errors.Is(err, unix.EAFNOSUPPORT):
		meaning = "the kernel's IPVS has no support for this address family"
	case errors.Is(err, unix.EEXIST):
		meaning = "it is there already, made by another program since the table was read: plan again"
	case errors.Is(err, unix.ESRCH):
		meaning = "the service does not exist"
	case isService:
		meaning = explainService(s, err)
	default:
		meaning = explainDestination(c, err)
	}
	if meaning == "" {
		return fmt.Errorf("%s: %w", name(c), err)
	}
	return fmt.Errorf("%s: %s: %w", name(c), meaning, err)
}

func explainService(s state.Service, err error) string {
	switch {
	case errors.Is(err, unix.ENOENT) && s.Engine != "":
		return fmt.Sprintf("the kernel does not find scheduler %s or persistence engine %s: "+
			"the modules ip_vs_%s and ip_vs_pe_%s must be there", s.Scheduler, s.Engine, s.Scheduler, s.Engine)
	case errors.Is(err, unix.ENOENT):
		return fmt.Sprintf("the kernel does not find scheduler %s: the module ip_vs_%s must be there", s.Scheduler, s.Scheduler)
	}
	return ""
}

func explainDestination(c state.Change, err error) string {
	d, ok := c.After.(state.Destination)
	switch {
	case errors.Is(err, unix.ENOENT):
		return "the destination does not exist"
	case !ok:
		return ""
	case errors.Is(err, unix.ERANGE):
		return fmt.Sprintf("the lower threshold %d must not exceed the upper threshold %d", d.Lower, d.Upper)
	case !errors.Is(err, unix.EINVAL):
		return ""
	case max(d.Upper, d.Lower) > math.MaxInt32: // newer kernels only
		return fmt.Sprintf("a threshold can be at most %d", math.MaxInt32)
	case mixed(d) && d.Forward != "tun":
		return "a destination of the other address family needs forward tun"
	case mixed(d):
		return "the address is not one of a single host, or the sync daemon runs, " +
			"which allows no destination of the other address family"
	case d.Address.IsLinkLocalUnicast():
		return "the address is link-local"
	}
	return "the kernel does not take the address for one of a single host: if it is one, bring lo up"
}

// mixed tells whether a destination is of another family than its service.
func mixed(d state.Destination) bool { return d.Address.Is4() != (d.Service.Family == "ipv4") }
