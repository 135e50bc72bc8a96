package topology

import (
	"net/netip"
	"strings"
	"testing"
)

func TestWhichAddressesAreAdvertised(t *testing.T) {
	yes, no := true, false
	for name, tc := range map[string]struct {
		excluded []*bool
		want     string
		others   string
	}{
		"only the first, where nothing is said":    {[]*bool{nil, nil, nil}, "a", "b c"},
		"one that says so, beside the first":       {[]*bool{nil, nil, &no}, "a c", "b"},
		"not the first, where it is excluded":      {[]*bool{&yes, &no, nil}, "b", "a c"},
		"none, where the first alone is spoken of": {[]*bool{&yes, nil, nil}, "", "a b c"},
	} {
		t.Run(name, func(t *testing.T) {
			var v VRRPInstance
			for i, e := range tc.excluded {
				v.VirtualAddresses = append(v.VirtualAddresses, VirtualAddress{Name: string(rune('a' + i)), IP: netip.MustParsePrefix("2001:db8::1/128"), Excluded: e})
			}
			if got := names(v.Advertised()); got != tc.want {
				t.Errorf("advertised %q, want %q", got, tc.want)
			}
			if got := names(v.Unadvertised()); got != tc.others {
				t.Errorf("not advertised %q, want %q", got, tc.others)
			}
			if family := v.Family(); (family == "ipv6") != (tc.want != "") {
				t.Errorf("family %q with %q advertised", family, tc.want)
			}
		})
	}
}

func names(list []VirtualAddress) string {
	var out []string
	for _, a := range list {
		out = append(out, a.Name)
	}
	return strings.Join(out, " ")
}
