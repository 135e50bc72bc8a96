//go:build linux

package netlink

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// message is one as the kernel sends it.
func message(kind, flags uint16, body string) []byte {
	b := native.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	b = native.AppendUint16(b, kind)
	b = native.AppendUint16(b, flags)
	b = append(append(b, make([]byte, 8)...), body...)
	return append(b, make([]byte, align(len(b))-len(b))...)
}

func TestAnswersAreRead(t *testing.T) {
	const link, multi = unix.RTM_NEWLINK, unix.NLM_F_MULTI
	number := func(n int32) string { return string(native.AppendUint32(nil, uint32(n))) }
	none := -int32(unix.ENODEV)
	request := string(message(unix.RTM_GETLINK, 0, "request"))
	text := func(s string) string {
		b := native.AppendUint16(nil, uint16(unix.SizeofNlAttr+len(s)))
		return string(native.AppendUint16(b, unix.NLMSGERR_ATTR_MSG)) + s
	}
	for name, c := range map[string]struct {
		datagrams   [][]byte
		want        []string
		ended, torn bool
		err         error
		says        string
	}{
		"one message":               {datagrams: [][]byte{message(link, 0, "one")}, want: []string{"one"}, ended: true},
		"what follows the end":      {datagrams: [][]byte{append(message(link, 0, "one"), message(link, 0, "two")...)}, want: []string{"one"}, ended: true},
		"parts and no end yet":      {datagrams: [][]byte{message(link, multi, "one"), message(link, multi, "two")}, want: []string{"one", "two"}},
		"parts to the end":          {datagrams: [][]byte{append(message(link, multi, "one"), message(unix.NLMSG_DONE, multi, number(0))...)}, want: []string{"one"}, ended: true},
		"an end without a number":   {datagrams: [][]byte{message(unix.NLMSG_DONE, multi, "")}, ended: true},
		"an end that is a refusal":  {datagrams: [][]byte{message(unix.NLMSG_DONE, multi, number(none))}, ended: true, err: unix.ENODEV},
		"a dump torn by a change":   {datagrams: [][]byte{message(link, multi|unix.NLM_F_DUMP_INTR, "one"), message(unix.NLMSG_DONE, multi, number(0))}, want: []string{"one"}, ended: true, torn: true},
		"an acknowledgement":        {datagrams: [][]byte{message(unix.NLMSG_ERROR, 0, number(0)+request)}, ended: true},
		"a refusal":                 {datagrams: [][]byte{message(unix.NLMSG_ERROR, 0, number(none)+request)}, ended: true, err: unix.ENODEV},
		"a refusal and its reason":  {datagrams: [][]byte{message(unix.NLMSG_ERROR, unix.NLM_F_ACK_TLVS, number(none)+request+text("no such thing\x00"))}, ended: true, err: unix.ENODEV, says: ": no such thing"},
		"a reason that is cut":      {datagrams: [][]byte{message(unix.NLMSG_ERROR, unix.NLM_F_ACK_TLVS, number(none)+request+text("no")[:5])}, ended: true, err: unix.ENODEV},
		"a request that is cut":     {datagrams: [][]byte{message(unix.NLMSG_ERROR, unix.NLM_F_ACK_TLVS, number(none)+request[:17])}, ended: true, err: unix.ENODEV},
		"a message that is cut":     {datagrams: [][]byte{message(link, 0, "one")[:17]}, ended: true, err: errMalformed},
		"less than a header":        {datagrams: [][]byte{{1, 2, 3}}, ended: true, err: errMalformed},
		"a length below the header": {datagrams: [][]byte{make([]byte, 16)}, ended: true, err: errMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			var a answer
			for _, d := range c.datagrams {
				a.take(d)
			}
			var got []string
			for _, m := range a.messages {
				got = append(got, string(m))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if a.ended != c.ended || a.torn != c.torn {
				t.Errorf("ended %v, torn %v", a.ended, a.torn)
			}
			if !errors.Is(a.err, c.err) || c.says != "" && !strings.HasSuffix(a.err.Error(), c.says) {
				t.Errorf("error %v, want %v%s", a.err, c.err, c.says)
			}
		})
	}
}

func TestTheKernelAnswers(t *testing.T) {
	links, err := Ask(unix.NETLINK_ROUTE, unix.RTM_GETLINK, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfInfomsg))
	if err != nil || len(links) == 0 {
		t.Errorf("%d links, %v", len(links), err)
	}
	for _, m := range links {
		if len(m) < unix.SizeofIfInfomsg {
			t.Errorf("a link of %d bytes", len(m))
		}
	}
	missing := append(make([]byte, unix.SizeofIfInfomsg), "\x09\x00\x03\x00none\x00\x00\x00\x00"...) // IFLA_IFNAME
	if _, err := Ask(unix.NETLINK_ROUTE, unix.RTM_GETLINK, 0, missing); !errors.Is(err, unix.ENODEV) {
		t.Errorf("a link that is not there: %v", err)
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(message(unix.RTM_NEWLINK, unix.NLM_F_MULTI, "one"))
	f.Add(message(unix.NLMSG_ERROR, unix.NLM_F_ACK_TLVS, "\xed\xff\xff\xff"+string(message(unix.RTM_GETLINK, 0, "request"))+"\x07\x00\x01\x00no\x00"))
	f.Fuzz(func(_ *testing.T, datagram []byte) {
		var a answer
		a.take(datagram)
	})
}
