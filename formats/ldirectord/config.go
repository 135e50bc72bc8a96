// Package ldirectord renders, reads and masks configurations of ldirectord(8).
package ldirectord

import (
	"net/netip"
	"time"

	"github.com/lvsform/lvsform/state"
)

// Config is what a section of ldirectord.cf, or a whole one, says. Defaults are
// those of ldirectord 4.12.0 (its program, where its manual differs).
type Config struct {
	Global   Global
	Services []Virtual // in the file's order
}

// Global holds for the whole file, whoever wrote the other services of it: of
// two lines the last one counts. What a service can say itself is no part of it.
type Global struct {
	CheckInterval  time.Duration   // between two rounds of checks, in whole seconds; 0: 10 s
	AutoReload     state.Opt[bool] // reads the file again when it changes; unset: no
	ReaddQuiescent state.Opt[bool] // a dead server that is missing from the table is put there with weight 0; unset: no
	Fork           state.Opt[bool] // a process per service, each with its own CheckInterval; unset: no
	Supervised     state.Opt[bool] // stays in the foreground, writes no pid file; unset: no
	MaintenanceDir string          // whose files take real servers out; "": none
	LogFile        string          // a path, or a facility of syslog; "": /var/log/ldirectord.log
	Callback       string          // a program that is told of a changed file; "": none
	EmailFrom      string          // "": the system's default
}

// Virtual is a service: Address, Port and Protocol, or FWMark and Family.
type Virtual struct {
	Address  netip.Addr
	Port     uint16
	Protocol string // tcp, udp; "" with FWMark
	FWMark   uint32 // 0: none
	Family   string // ipv4, ipv6: of the mark's real servers; "" without a mark

	Reals    []Real
	Fallback *Fallback // nil: none

	Scheduler      string        // "": wrr
	SchedulerFlags string        // as ipvsadm -b takes them: sh-fallback,sh-port
	Persistent     time.Duration // whole seconds; 0: not persistent
	Netmask        int           // prefix length; 0: one client each
	OnePacket      bool          // udp only: ops

	Check            string          // a Check… constant; "": negotiate
	ConnectsPerCheck int             // with CheckCombined: connects after each negotiation
	Service          string          // what is spoken: http, https, …, none; "": by the service's port
	CheckCommand     string          // external, external-perl: a program, without arguments
	CheckPort        uint16          // 0: the real server's
	CheckTimeout     time.Duration   // of connect, external and ping, in whole seconds; 0: NegotiateTimeout's, else 5 s
	NegotiateTimeout time.Duration   // of negotiate, in whole seconds; 0: CheckTimeout's, else 30 s
	CheckInterval    time.Duration   // counts only with Global.Fork; 0: the global one
	CheckCount       int             // tries of one ping check; 0: 1
	FailureCount     int             // failures in a row before a server counts as dead; 0: 1
	Request          string          // what is asked for; "": /
	Receive          string          // a Perl regular expression; "": any answer is good
	HTTPMethod       string          // GET, HEAD; "": GET
	VirtualHost      string          // http, https: the Host header; "": the real server's address
	Login            string          // "": by service
	Password         string          // secret
	Secret           string          // radius; secret
	Database         string          // mysql, oracle, pgsql
	Quiescent        state.Opt[bool] // a dead server gets weight 0; unset: it is deleted (the manual says otherwise)
	CleanStop        state.Opt[bool] // the service is deleted when ldirectord stops; unset: yes
	FallbackCommand  string          // a program that is told when all are dead, and when no longer
	MonitorFile      string          // a log of checks
	EmailAlert       string          // addresses, with commas
	EmailAlertEvery  time.Duration   // repeats alerts, in whole seconds; 0: never
	EmailAlertStates string          // all, none or a list with commas; "": all
	SMTP             string          // a mail server
	Name             string          // for mails: servicename
	Comment          string          // for mails
}

// What Virtual.Check may be.
const (
	CheckNegotiate    = "negotiate"
	CheckConnect      = "connect" // udp: a ping
	CheckPing         = "ping"
	CheckExternal     = "external"
	CheckExternalPerl = "external-perl"
	CheckOn           = "on"       // never checked, always alive
	CheckOff          = "off"      // never checked, never put into the table
	CheckCombined     = "combined" // ConnectsPerCheck connects, then a negotiation
)

// Real is a real server.
type Real struct {
	Address netip.Addr // of the service's family
	Port    uint16     // 0: none (for a mark)
	Forward string     // gate, masq, ipip
	Weight  int        // 0: gets no new connections
	Check   *Exchange  // instead of the service's Request and Receive; nil: those
	Upper   uint32     // connections above which it gets none; 0: no limit
	Lower   uint32     // below which it gets some again; 0: not set
}

// Exchange is what a real server is asked, and must answer.
type Exchange struct {
	Request string
	Receive string // a Perl regular expression; "": any answer is good
}

// Fallback is the server for the clients when all real servers are dead.
type Fallback struct {
	Address netip.Addr
	Port    uint16 // 0: the service's
	Forward string // gate, masq, ipip
}

// Issue is a line that a Config cannot carry over as it stands.
type Issue struct {
	Line    int
	Keyword string
	Why     string
}
