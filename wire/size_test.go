package wire_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/wire"
)

func TestFramesThatHoldTooMuchAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		body    string
		refused bool
	}{
		"millions of objects":        {`[` + strings.Repeat("{},", 2<<20) + `{}]`, true},
		"millions of numbers":        {`[` + strings.Repeat("0,", 5<<20) + `0]`, true},
		"a text of commas":           {`["` + strings.Repeat(`,{[\"\\`, 1<<18) + `"]`, false},
		"a large table":              {`[` + strings.Repeat(`{"to":"192.0.2.0/24","table":254,"via":"192.0.2.1","device":"eth0","scope":"global"},`, 20_000) + `{}]`, false},
		"a few empty things":         {`[{},[],{}]`, false},
		"the end of text in its end": {`["` + strings.Repeat("x", 1<<20) + `\"]`, true},
	} {
		var got []any
		frame := string(binary.BigEndian.AppendUint32(nil, uint32(len(c.body)))) + c.body
		err := wire.Read(strings.NewReader(frame), &got)
		if (err != nil) != c.refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}
