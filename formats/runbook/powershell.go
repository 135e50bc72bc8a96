package runbook

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// powerShell is a runbook for Windows while it is written.
type powerShell struct {
	strings.Builder
	host Host
	// loopback holds, by address family, the VIPs of the loopback adapter.
	loopback map[string][]netip.Prefix
}

// powerShellScript is the runbook of a Windows host: a real server. A VIP on lo
// goes onto a loopback adapter; routes by a gateway can be made; all else of
// Linux has no command there and is listed.
func powerShellScript(h Host) string {
	p := &powerShell{host: h, loopback: map[string][]netip.Prefix{}}
	comment(&p.Builder, "", fmt.Sprintf("Host %s of topology %q. Run this in an elevated PowerShell on it.", h.Name, h.Topology))
	comment(&p.Builder, "", "It can be run again: what is there already stays. It survives a reboot.")
	if len(h.Steps) == 0 {
		p.WriteString("\n")
		comment(&p.Builder, "", "Nothing is declared on this host.")
		return p.String()
	}
	p.WriteString("$ErrorActionPreference = 'Stop'\n")
	for _, s := range h.Steps {
		if a, ok := s.Object.(state.Address); ok && a.Device == "lo" && !s.Hidden {
			p.loopback[psFamily(a.IP.Addr())] = append(p.loopback[psFamily(a.IP.Addr())], a.IP)
		}
	}
	p.interfaces()
	for _, s := range h.Steps {
		p.step(s)
	}
	p.undo()
	return p.String()
}

// psQuote writes a text between single quotes. PowerShell takes typographic
// ones for the same.
func psQuote(text string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range text {
		if strings.ContainsRune("'\u2018\u2019\u201a\u201b", r) {
			b.WriteRune(r)
		}
		b.WriteRune(r)
	}
	b.WriteByte('\'')
	return b.String()
}

func psFamily(a netip.Addr) string { return pick(a.Is4(), "IPv4", "IPv6") }

// interfaces finds the NIC, and finds or makes the loopback adapter. Windows has
// the driver and no command that makes a device of it: devcon.exe does, which
// comes with the driver kit.
func (p *powerShell) interfaces() {
	fmt.Fprintf(p, "\n# The interface that has the host's own address.\n$nic = (Get-NetIPAddress -IPAddress %s).InterfaceIndex\n", psQuote(p.host.Address.String()))
	if len(p.loopback) == 0 {
		return
	}
	p.WriteString(`
# A loopback adapter holds the VIPs: it is on no network, so nobody is told of them.
function Find-Loopback { Get-NetAdapter | Where-Object { $_.InterfaceDescription -match 'Loopback Adapter' } | Select-Object -First 1 }
$loopback = Find-Loopback
if (-not $loopback) {
    pnputil.exe /add-driver "$env:windir\inf\netloop.inf" /install
    if (-not (Get-Command devcon.exe -ErrorAction SilentlyContinue)) {
        throw 'There is no loopback adapter. Run hdwwiz.exe, choose to install by hand, Network adapters, Microsoft, Microsoft KM-TEST Loopback Adapter (or put devcon.exe into the PATH), then run this again.'
    }
    devcon.exe install "$env:windir\inf\netloop.inf" '*MSLOOP'
    $loopback = Find-Loopback
}
$loopback = $loopback.ifIndex
Set-DnsClient -InterfaceIndex $loopback -RegisterThisConnectionsAddress $false
`)
	for _, family := range []string{"IPv4", "IPv6"} {
		if len(p.loopback[family]) == 0 {
			continue
		}
		dad := pick(family == "IPv6", " -DadTransmits 0", "")
		fmt.Fprintf(p, `
# Packets to a VIP come in by the NIC, and the answers leave by it: both need the weak host model.
Set-NetIPInterface -InterfaceIndex $loopback -AddressFamily %[1]s -WeakHostReceive Enabled -WeakHostSend Enabled -AutomaticMetric Disabled -InterfaceMetric 254%[2]s
Set-NetIPInterface -InterfaceIndex $nic -AddressFamily %[1]s -WeakHostReceive Enabled -WeakHostSend Enabled
`, family, dad)
	}
}

func (p *powerShell) step(s Step) {
	p.WriteString("\n")
	comment(&p.Builder, "", describe(s)+from(s))
	if s.Hidden {
		return
	}
	switch o := s.Object.(type) {
	case state.Address:
		p.address(o)
	case state.Route:
		p.route(o)
	default:
		comment(&p.Builder, "  ", unlike(o))
	}
}

func (p *powerShell) address(a state.Address) {
	if p.onTunnel(a) {
		comment(&p.Builder, "  ", unlike(state.Link{}))
		return
	}
	where := "$loopback"
	if a.Device != "lo" {
		where = "(Get-NetAdapter -Name " + psQuote(a.Device) + ").ifIndex"
	}
	skip := pick(a.Device == "lo" || a.Deprecated, "$true", "$false")
	ip := psQuote(a.IP.Addr().String())
	fmt.Fprintf(p, `if (-not (Get-NetIPAddress -InterfaceIndex %[1]s -IPAddress %[2]s -ErrorAction SilentlyContinue)) {
    New-NetIPAddress -InterfaceIndex %[1]s -IPAddress %[2]s -PrefixLength %[3]d -SkipAsSource %[4]s | Out-Null
}
`, where, ip, a.IP.Bits(), skip)
}

// onTunnel tells whether an address is for a link that Windows does not have.
func (p *powerShell) onTunnel(a state.Address) bool {
	return slices.ContainsFunc(p.host.Steps, func(s Step) bool {
		l, ok := s.Object.(state.Link)
		return ok && l.Name == a.Device && l.Kind != ""
	})
}

func (p *powerShell) route(r state.Route) {
	switch {
	case r.Device == "lo" && !r.Via.IsValid():
		comment(&p.Builder, "  ", "Windows makes this route with the address.")
		return
	case !r.Via.IsValid() || r.Type != "" || r.Table != state.TableMain:
		comment(&p.Builder, "  ", "Windows has no such route: it knows one table, and routes by a gateway.")
		return
	}
	to, via := psQuote(r.To.String()), psQuote(r.Via.String())
	metric := ""
	if r.Metric != 0 && r.To.Addr().Is4() {
		metric = fmt.Sprintf(" -RouteMetric %d", r.Metric)
	}
	fmt.Fprintf(p, `if (-not (Get-NetRoute -DestinationPrefix %[1]s -NextHop %[2]s -ErrorAction SilentlyContinue)) {
    New-NetRoute -DestinationPrefix %[1]s -InterfaceIndex $nic -NextHop %[2]s%[3]s | Out-Null
}
`, to, via, metric)
	if r.To.Bits() == 0 {
		fmt.Fprintf(p, `# Another default gateway would take answers past this one. This removes it:
#   Get-NetRoute -DestinationPrefix %s | Where-Object NextHop -ne %s | Remove-NetRoute
`, to, via)
	}
	if r.Source.IsValid() || r.MTU != 0 || r.AdvMSS != 0 {
		comment(&p.Builder, "  ", "Windows sets no source address, MTU or MSS of a single route: check that it needs none.")
	}
}

// unlike says why an object of Linux has no command on Windows.
func unlike(o state.Object) string {
	switch o := o.(type) {
	case state.Sysctl:
		switch {
		case strings.Contains(o.Name, ".arp_ignore"), strings.Contains(o.Name, ".arp_announce"):
			return "Not needed: Windows answers no ARP question about an address of the loopback adapter, and asks none with it."
		case strings.Contains(o.Name, ".rp_filter"):
			return "Not needed: the weak host model above lets packets to the VIP in."
		case strings.HasSuffix(o.Name, "forward"), strings.HasSuffix(o.Name, "forwarding"):
			return "A real server forwards nothing: Set-NetIPInterface -Forwarding Disabled is how Windows comes."
		}
		return "A setting of the Linux kernel: look whether Windows needs one like it."
	case state.Module:
		return "A module of the Linux kernel: nothing to do."
	case state.Link, state.FOU:
		return "NOT POSSIBLE: Windows does not unwrap IPIP, GRE or GUE for a VIP. Use DR or NAT for this real server."
	case state.Package:
		return "By hand: install the program for Windows that serves the same."
	case state.Unit:
		return "By hand: Get-Service lists the services of Windows; Set-Service -StartupType, Start-Service and Stop-Service set one."
	case state.Service, state.Destination, state.Sync, state.Timeouts, state.Mark, state.Masquerade, state.Rule, state.Config:
		return "NOT POSSIBLE: this is the work of a Linux director."
	}
	return "By hand."
}

func (p *powerShell) undo() {
	p.WriteString("\n")
	comment(&p.Builder, "", "To undo it:")
	for i := len(p.host.Steps) - 1; i >= 0; i-- {
		if p.host.Steps[i].Hidden {
			continue // it was left to a person
		}
		switch o := p.host.Steps[i].Object.(type) {
		case state.Address:
			if p.onTunnel(o) {
				continue
			}
			comment(&p.Builder, "  ", "Remove-NetIPAddress -IPAddress "+psQuote(o.IP.Addr().String()))
		case state.Route:
			if o.Via.IsValid() && o.Type == "" && o.Table == state.TableMain {
				comment(&p.Builder, "  ", "Remove-NetRoute -DestinationPrefix "+psQuote(o.To.String())+" -NextHop "+psQuote(o.Via.String()))
			}
		}
	}
	if len(p.loopback) > 0 {
		comment(&p.Builder, "  ", "Set-NetIPInterface -InterfaceIndex $nic -WeakHostReceive Disabled -WeakHostSend Disabled")
	}
}
