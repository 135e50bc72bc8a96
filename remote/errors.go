package remote

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// DialReason says why no connection came about.
type DialReason string

// The reasons of a DialError.
const (
	DialRefused  DialReason = "refused"
	DialNoRoute  DialReason = "no route"
	DialTimeout  DialReason = "timeout"
	DialName     DialReason = "name not found"
	DialClosed   DialReason = "closed"
	DialProtocol DialReason = "protocol"
	DialOther    DialReason = "failed"
)

// DialError is a host that could not be reached: no SSH transport came about.
type DialError struct {
	Address string // host:port as dialled
	Via     string // the jump host that dialled, empty without one
	Reason  DialReason
	Err     error
}

func (e *DialError) Error() string {
	via := ""
	if e.Via != "" {
		via = " through " + e.Via
	}
	return fmt.Sprintf("connect to %s%s: %s", e.Address, via, e.text())
}

func (e *DialError) text() string {
	switch e.Reason {
	case DialRefused:
		return "connection refused: is sshd running, is the port right?"
	case DialNoRoute:
		return "no route to the host: " + causeText(e.Err)
	case DialTimeout:
		return "no answer in time (--timeout): " + causeText(e.Err)
	case DialName:
		return "the name cannot be resolved: " + causeText(e.Err)
	case DialClosed:
		return "the peer closed the connection before SSH was set up: " + causeText(e.Err)
	case DialProtocol:
		return "the peer does not speak SSH as expected: " + causeText(e.Err)
	}
	return causeText(e.Err)
}

func (e *DialError) Unwrap() error { return e.Err }

// Unreachable tells a host that is away (as --skip-unreachable means it) from
// one that answers and refuses, and from a run that was cancelled.
func Unreachable(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	var dial *DialError
	var lost *LostError
	return errors.As(err, &dial) || errors.As(err, &lost)
}

// UnknownHostKeyError is a host whose key no known_hosts file has.
type UnknownHostKeyError struct {
	Address     string   // host or [host]:port, as known_hosts writes it
	KeyType     string   // of the key that the host offered
	Fingerprint string   // of the key that the host offered, SHA256:…
	Files       []string // that were searched
	Note        string   // what else is to be known, may be empty
	scan        string
}

func (e *UnknownHostKeyError) Error() string {
	text := fmt.Sprintf("host key of %s is unknown (%s %s is in none of %s): compare the fingerprint with the host's own "+
		"(ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub there), then add it: %s",
		e.Address, e.KeyType, e.Fingerprint, listText(e.Files), e.scan)
	return withNote(text, e.Note)
}

// ChangedHostKeyError is a host that offers another key than known_hosts has.
type ChangedHostKeyError struct {
	Address     string
	KeyType     string
	Fingerprint string
	Known       []string // file:line of the entries that the key should equal
	Note        string
}

func (e *ChangedHostKeyError) Error() string {
	text := fmt.Sprintf("HOST KEY OF %s HAS CHANGED: it offers %s %s, which is not what %s says; somebody may be in the "+
		"middle. If the host was reinstalled: compare the fingerprint on the host, then ssh-keygen -R %q and add the new key",
		e.Address, e.KeyType, e.Fingerprint, listText(e.Known), e.Address)
	return withNote(text, e.Note)
}

// RevokedHostKeyError is a host that offers a key marked as revoked, or a
// certificate signed by one.
type RevokedHostKeyError struct {
	Address     string
	KeyType     string
	Fingerprint string
	Where       string // file:line of the revocation
}

func (e *RevokedHostKeyError) Error() string {
	return fmt.Sprintf("host key of %s is REVOKED: %s %s is marked so in %s; do not trust this host, give it a new key",
		e.Address, e.KeyType, e.Fingerprint, e.Where)
}

// HostCertificateError is a host certificate that a trusted authority signed
// and that is not valid for this host now.
type HostCertificateError struct {
	Address   string
	Authority string // file:line of the @cert-authority line
	Err       error
}

func (e *HostCertificateError) Error() string {
	return fmt.Sprintf("host certificate of %s is not valid (authority: %s): %s", e.Address, e.Authority, causeText(e.Err))
}

func (e *HostCertificateError) Unwrap() error { return e.Err }

// AuthError is a host that let none of our keys in.
type AuthError struct {
	User, Address string
	Offered       []string // methods that the server accepts
	Tried         []string // keys that were offered to it, in order
	Skipped       []string // keys that could not be offered, with the reason
	Err           error
}

func (e *AuthError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s refused user %q", e.Address, e.User)
	if len(e.Offered) > 0 {
		fmt.Fprintf(&b, " (it accepts %s)", strings.Join(e.Offered, ", "))
	}
	if len(e.Tried) == 0 {
		b.WriteString(": there was no key to try")
	} else {
		fmt.Fprintf(&b, ": keys tried: %s", strings.Join(e.Tried, ", "))
	}
	if len(e.Skipped) > 0 {
		fmt.Fprintf(&b, "; not usable: %s", strings.Join(e.Skipped, "; "))
	}
	b.WriteString("; only public keys are used: name one with --identity, or load it with ssh-add")
	if e.Err != nil && strings.Contains(e.Err.Error(), "oo many authentication failures") {
		b.WriteString("; the server gave up after too many keys: set IdentitiesOnly yes")
	}
	return b.String()
}

func (e *AuthError) Unwrap() error { return e.Err }

// AgentFault says what keeps the agent from running on a host.
type AgentFault string

// The faults of an AgentError.
const (
	FaultSudoPassword AgentFault = "sudo password" // sudo -n asks for one
	FaultSudo         AgentFault = "sudo"          // sudo is missing, or refuses
	FaultNotRoot      AgentFault = "not root"
	FaultNoSpace      AgentFault = "no space"
	FaultReadOnly     AgentFault = "read-only"
	FaultNoExec       AgentFault = "noexec"
	FaultUnsafeDir    AgentFault = "unsafe directory" // not root's alone
	FaultArch         AgentFault = "architecture"     // no agent for the host's
	FaultChecksum     AgentFault = "checksum"
	FaultNoTool       AgentFault = "no tool"  // no SHA-256 tool on the host
	FaultGarbage      AgentFault = "garbage"  // the shell prints to stdout
	FaultProtocol     AgentFault = "protocol" // another version, a malformed frame
	FaultEnded        AgentFault = "ended"    // the agent ended by itself
	FaultPlace        AgentFault = "place"    // any other failure to place it
)

// AgentError is a reachable host on which the agent cannot be run or talks
// nonsense.
type AgentError struct {
	Fault  AgentFault
	Detail string // what is wrong and what to do
	Stderr string // the host's last words, escapes stripped; may be empty
	Err    error
}

func (e *AgentError) Error() string {
	if e.Stderr == "" {
		return e.Detail
	}
	return e.Detail + " (the host says: " + e.Stderr + ")"
}

func (e *AgentError) Unwrap() error { return e.Err }

// LostError is a session that ended, or fell silent, in the middle.
type LostError struct {
	Address string
	During  string // the request in hand
	Err     error
	Stderr  string
}

// Lost tells whether an error leaves open what became of a request: it was sent,
// and no answer came that can be trusted.
func Lost(err error) bool {
	var lost *LostError
	var agent *AgentError
	return errors.As(err, &lost) || errors.As(err, &agent)
}

func (e *LostError) Error() string {
	text := fmt.Sprintf("the session with %s was lost during %s: %s", e.Address, e.During, causeText(e.Err))
	if e.Stderr != "" {
		text += " (the host says: " + e.Stderr + ")"
	}
	return text
}

func (e *LostError) Unwrap() error { return e.Err }

// TimeoutError is a step that took longer than Config.Timeout. It is
// Timeout() like those of package net.
type TimeoutError struct {
	After time.Duration
	What  string
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("no answer to %s within %s", e.What, e.After)
}

// Timeout says that it is one.
func (e *TimeoutError) Timeout() bool { return true }

// causeText is the text of an error that may quote the peer.
func causeText(err error) string {
	if err == nil {
		return "unknown cause"
	}
	return clean(err.Error())
}

func listText(items []string) string {
	if len(items) == 0 {
		return "(no file)"
	}
	return strings.Join(items, ", ")
}

func withNote(text, note string) string {
	if note == "" {
		return text
	}
	return text + "; " + note
}
