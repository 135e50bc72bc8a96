//go:build linux

package ipvs

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// settings is a kernel that knows timeouts and sync daemons.
type settings struct {
	refuse  unix.Errno
	mute    bool              // a daemon that has not run yet is stopped without an answer
	set     map[uint16]uint32 // timeouts
	daemons [][]byte          // attributes
	asked   []uint8           // commands
	answers [][]byte
}

func (k *settings) Send(b []byte) error {
	for len(b) > 0 {
		m, rest, err := nextMessage(b)
		if err == nil {
			err = k.answer(m, b)
		}
		if err != nil {
			return err
		}
		b = rest
	}
	return nil
}

func (k *settings) answer(m message, b []byte) error {
	command := m.payload[0]
	k.asked = append(k.asked, command)
	attrs := attrReader{rest: m.payload[genericHeader:]}
	switch {
	case k.refuse != 0:
		k.answers = append(k.answers, fakeError(m.seq, k.refuse, b[:netlinkHeader]))
		return nil
	case command == cmdGetConfig:
		k.reply(m.seq, 0, func(b []byte) []byte {
			for kind, v := range k.set {
				b = appendUint32(b, kind, v)
			}
			return b
		})
		return nil
	case command == cmdGetDaemon:
		for _, d := range k.daemons {
			k.reply(m.seq, unix.NLM_F_MULTI, func(b []byte) []byte { return appendBytes(b, attrDaemon, d) })
		}
		done, start := beginMessage(nil, unix.NLMSG_DONE, unix.NLM_F_MULTI, 0)
		done = append(done[:netlinkHeader], 0, 0, 0, 0)
		setSequence(done, m.seq)
		endMessage(done, start)
		k.answers = append(k.answers, done)
		return nil
	case command == cmdSetConfig:
		for attrs.next() {
			k.set[attrs.kind] = attrs.uint32()
		}
	case command == cmdNewDaemon:
		attrs.next()
		k.daemons = append(k.daemons, attrs.value)
	case command == cmdDelDaemon && k.daemons == nil && len(k.asked) > 1 && k.asked[len(k.asked)-2] == cmdDelDaemon:
		k.answers = append(k.answers, fakeError(m.seq, unix.ESRCH, b[:netlinkHeader]))
		return nil
	case command == cmdDelDaemon:
		k.daemons = nil
		if k.mute {
			return nil
		}
	}
	k.answers = append(k.answers, fakeError(m.seq, 0, b[:netlinkHeader]))
	return attrs.err
}

func (k *settings) reply(seq uint32, flags uint16, attrs func([]byte) []byte) {
	b, start := beginMessage(nil, fakeFamily, flags, 0)
	b = attrs(b)
	setSequence(b, seq)
	endMessage(b, start)
	k.answers = append(k.answers, b)
}

func (k *settings) Receive() ([]byte, error) {
	if len(k.answers) == 0 {
		return nil, errors.New("nothing to receive")
	}
	b := k.answers[0]
	k.answers = k.answers[1:]
	return b, nil
}

func newSettings() (*settings, *Table) {
	k := &settings{set: map[uint16]uint32{attrTimeoutTCP: 900, attrTimeoutTCPFin: 120, attrTimeoutUDP: 300}}
	return k, &Table{conn: k, family: fakeFamily}
}

var byValue = gocmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func TestSettingsReadBackAsWritten(t *testing.T) {
	_, table := newSettings()
	master := state.Sync{Role: "master", Interface: "eth0", ID: 255, Group: netip.MustParseAddr("239.1.2.3"), Port: 9000, TTL: 255, MaxLength: 1400}
	backup := state.Sync{Role: "backup", Interface: "bond0.7", Group: netip.MustParseAddr("ff02::81"), Port: 8848, TTL: 1, MaxLength: 65000}
	want := []state.Object{master, backup, state.Timeouts{TCP: time.Hour, TCPFin: 2 * time.Minute, UDP: time.Second}}
	done, err := table.ApplySettings([]state.Change{{After: master}, {After: backup},
		{Before: state.DefaultTimeouts, After: state.Timeouts{TCP: time.Hour, UDP: time.Second}}})
	if err != nil || done != 3 {
		t.Fatalf("%d, %v", done, err)
	}
	got, err := table.ReadSettings()
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got, byValue); diff != "" {
		t.Error(diff)
	}
}

func TestADaemonIsStoppedBeforeItStartsAnew(t *testing.T) {
	k, table := newSettings()
	s := state.Sync{Role: "master", Interface: "eth0", Group: netip.MustParseAddr("224.0.0.81"), Port: 8848, TTL: 1, MaxLength: 1472}
	moved := s
	moved.ID = 3
	if _, err := table.ApplySettings([]state.Change{{Before: s, After: moved}, {Before: state.DefaultTimeouts}}); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff([]uint8{cmdDelDaemon, cmdDelDaemon, cmdNewDaemon}, k.asked); diff != "" {
		t.Error(diff)
	}
}

func TestOldKernelsTellLessOfADaemon(t *testing.T) {
	old := appendUint32(nil, daemonState, 2)
	old = appendUint32(appendString(old, daemonDevice, "eth0"), daemonID, 7)
	got, err := decodeSync(old)
	if err != nil {
		t.Fatal(err)
	}
	want := state.Sync{Role: "backup", Interface: "eth0", ID: 7, Group: netip.MustParseAddr("224.0.0.81"), Port: 8848, TTL: 1}
	if diff := gocmp.Diff(want, got, byValue); diff != "" {
		t.Error(diff)
	}
	if _, err := decodeSync(nil); err == nil {
		t.Error("a daemon without a role was taken")
	}
}

func TestRefusedSettingsSayWhatToDo(t *testing.T) {
	good := state.Sync{Role: "master", Interface: "eth0", Group: netip.MustParseAddr("224.0.0.81"), Port: 8848, TTL: 1}
	edit := func(f func(*state.Sync)) state.Sync { s := good; f(&s); return s }
	for name, test := range map[string]struct {
		object state.Object
		refuse unix.Errno
		want   string
	}{
		"running":           {good, unix.EEXIST, "runs already"},
		"no interface":      {good, unix.ENODEV, "there is no interface eth0"},
		"no route":          {good, unix.ENETUNREACH, "must be up and have an address"},
		"mixed families":    {good, unix.EINVAL, "another address family"},
		"no right":          {good, unix.EPERM, "needs root"},
		"a role":            {edit(func(s *state.Sync) { s.Role = "x" }), 0, "neither master nor backup"},
		"a name too long":   {edit(func(s *state.Sync) { s.Interface = "sixteen-letters-" }), 0, "no name of an interface"},
		"a ttl":             {edit(func(s *state.Sync) { s.TTL = 0 }), 0, "out of its range"},
		"no group":          {edit(func(s *state.Sync) { s.Group = netip.Addr{} }), 0, "no multicast address"},
		"half a second":     {state.Timeouts{TCP: time.Second / 2}, 0, "whole seconds"},
		"a timeout of days": {state.Timeouts{UDP: time.Hour}, unix.EINVAL, "no timeout that is so long"},
		"another kind":      {state.Module{Name: "x"}, 0, "no setting of IPVS"},
	} {
		k, table := newSettings()
		k.refuse = test.refuse
		done, err := table.ApplySettings([]state.Change{{After: test.object}})
		if err == nil || done != 0 || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: want %q, got %v", name, test.want, err)
		}
		if test.refuse != 0 && !errors.Is(err, test.refuse) {
			t.Errorf("%s: %v is not %v", name, err, test.refuse)
		}
	}
}

func TestADaemonThatIsStoppedWithoutAnAnswerIsStopped(t *testing.T) {
	k, table := newSettings()
	k.mute = true
	s := state.Sync{Role: "backup", Interface: "eth0", Group: netip.MustParseAddr("224.0.0.81"), Port: 8848, TTL: 1}
	if done, err := table.ApplySettings([]state.Change{{Before: s}}); err != nil || done != 1 {
		t.Errorf("%d, %v", done, err)
	}
}

func TestADaemonThatDoesNotRunIsStopped(t *testing.T) {
	k, table := newSettings()
	k.refuse = unix.ESRCH
	s := state.Sync{Role: "backup", Interface: "eth0", Group: netip.MustParseAddr("224.0.0.81"), Port: 8848, TTL: 1}
	if done, err := table.ApplySettings([]state.Change{{Before: s}}); err != nil || done != 1 {
		t.Errorf("%d, %v", done, err)
	}
}
