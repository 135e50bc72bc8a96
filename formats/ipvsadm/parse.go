package ipvsadm

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// Limits of a text that Parse reads.
const (
	MaxSize     = 16 << 20 // bytes: some 200,000 real servers
	maxMistakes = 20
)

// Table is what a text holds.
type Table struct {
	// Objects are services, destinations, timeouts and daemons, in the text's
	// order.
	Objects state.Objects
	// Notes are what of the text the objects do not say as it stands there.
	Notes []Note
	// Thresholds tells whether a line names a threshold: ipvsadm -S saves none.
	Thresholds bool
}

// Note is something to know about a line.
type Note struct {
	Line int
	Text string
}

// Parse reads what `ipvsadm -S -n` (ipvsadm-save -n) writes or `ipvsadm -R`
// (ipvsadm-restore) takes. Empty lines, and lines that begin with #, have no
// meaning. The error is of type Mistakes.
func Parse(text []byte) (*Table, error) {
	if len(text) > MaxSize {
		return nil, Mistakes{{Cause: fmt.Sprintf("the text has more than %d bytes", MaxSize), Fix: "Is it a saved table?"}}
	}
	p := parser{table: &Table{}, lines: map[state.Key]int{}}
	for raw := range bytes.Lines(text) {
		p.line++
		words := strings.Fields(string(raw))
		if len(words) > 0 && words[0] == program {
			words = words[1:]
		}
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := p.read(words); err != nil {
			p.mistaken(err)
		}
		if len(p.mistakes) > maxMistakes {
			break
		}
	}
	if len(p.mistakes) > maxMistakes {
		p.mistakes = append(p.mistakes[:maxMistakes], &Mistake{Cause: "there are more such lines", Fix: "Is it a saved table?"})
	}
	if len(p.mistakes) > 0 {
		return nil, p.mistakes
	}
	return p.table, nil
}

type parser struct {
	table    *Table
	line     int
	lines    map[state.Key]int // where each object stands
	mistakes Mistakes
}

func (p *parser) mistaken(err error) {
	var m *Mistake
	if !errors.As(err, &m) {
		m = &Mistake{Cause: err.Error()}
	}
	m.Line = p.line
	p.mistakes = append(p.mistakes, m)
}

func (p *parser) note(format string, args ...any) {
	p.table.Notes = append(p.table.Notes, Note{p.line, fmt.Sprintf(format, args...)})
}

// add refuses a second object of a key, as the kernel does.
func (p *parser) add(o state.Object) error {
	key := o.Key()
	if line, twice := p.lines[key]; twice {
		return mistake(fmt.Sprintf("%s is in line %d already", key, line), "The kernel keeps one: take the other line out.")
	}
	p.lines[key] = p.line
	p.table.Objects = append(p.table.Objects, o)
	return nil
}

func (p *parser) read(words []string) error {
	c, err := parseCommand(words)
	if err != nil {
		return err
	}
	switch c.name {
	case "add-service":
		return p.service(c)
	case "add-server":
		return p.server(c)
	case "set":
		return p.timeouts(c)
	case "start-daemon":
		return p.daemon(c)
	case "clear":
		if len(p.table.Objects) == 0 {
			return c.only()
		}
	}
	return mistake(fmt.Sprintf("%s is no line of a saved table", spelled(c.name)),
		"Run the commands on a director, then save its table with ipvsadm-save -n.")
}

func (p *parser) service(c command) error {
	err := c.only("tcp-service", "udp-service", "sctp-service", "fwmark-service", "ipv6", "scheduler", "sched-flags", "persistent", "netmask", "pe", "ops")
	if err != nil {
		return err
	}
	id, err := serviceID(c)
	if err != nil {
		return err
	}
	s := state.Service{ServiceID: id, Scheduler: defaultScheduler, OnePacket: c.has("ops"), Netmask: 32}
	if id.Family == "ipv6" {
		s.Netmask = 128
	}
	if name, ok := c.values["scheduler"]; ok {
		if s.Scheduler, err = word("scheduler", name); err != nil {
			return err
		}
	}
	if list, ok := c.values["sched-flags"]; ok {
		if s.SchedulerFlags, err = schedulerFlags(s.Scheduler, list); err != nil {
			return err
		}
	}
	if err := persistence(c, &s); err != nil {
		return err
	}
	switch {
	case s.OnePacket && id.FWMark == 0 && id.Protocol != "udp":
		return mistake("-o is for UDP services", "Take it out.")
	case id.FWMark == 0 && id.Port == 0 && s.Timeout == 0:
		return mistake("a service of every port has to be persistent", "Add -p, or name the port.")
	}
	return p.add(s)
}

func (p *parser) server(c command) error {
	err := c.only("tcp-service", "udp-service", "sctp-service", "fwmark-service", "ipv6", "real-server", "gatewaying", "ipip", "masquerading",
		"weight", "u-threshold", "l-threshold", "tun-type", "tun-port", "tun-nocsum", "tun-csum", "tun-remcsum")
	if err != nil {
		return err
	}
	id, err := serviceID(c)
	if err != nil {
		return err
	}
	if _, known := p.lines[state.Service{ServiceID: id}.Key()]; !known {
		return mistake("there is no service "+id.String()+" above", "Add its line, -A with a scheduler, or take this one out.")
	}
	d, err := destination(c, id)
	if err != nil {
		return err
	}
	if id.FWMark == 0 && d.Forward != "nat" && d.Port != id.Port {
		p.note("port %d of real server %s is the service's port %d in the kernel, for only -m changes ports", d.Port, d.Address, id.Port)
		d.Port = id.Port
	}
	p.table.Thresholds = p.table.Thresholds || c.has("u-threshold") || c.has("l-threshold")
	return p.add(d)
}
