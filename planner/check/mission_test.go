package check_test

import (
	"strings"
	"testing"
)

// The mistakes that operators' own write-ups of LVS clusters contain. Each is
// found by the number of its check, in the file and the line where it is.
func TestMistakesOfOperators(t *testing.T) {
	for name, tc := range map[string]struct {
		scene, old, text string
		check, line      string
	}{
		"the host route on lo:0 is for the gateway instead of the VIP": {direct,
			`  to     = "192.0.2.100/32"`, `  to     = "192.0.2.1/32"`, "LVS008", `to = "192.0.2.1/32"`},
		"the VIP in the IPVS rule differs from the VIP on the interface": {direct,
			`  address   = "192.0.2.100"`, `  address   = "192.0.2.110"`, "LVS007", `address = "192.0.2.110"`},
		"the VIP on the real server differs from the VIP in the IPVS rule": {direct,
			"  host   = host.rs1\n  ip     = \"192.0.2.100/32\"", "  host   = host.rs1\n  ip     = \"192.0.2.110/32\"", "LVS005", `host = host.rs1`},
		"the same real server is added twice": {direct,
			"    host = host.rs1\n  }\n", "    host = host.rs1\n  }\n  real_server \"rs2\" {\n    host = host.rs1\n  }\n", "LVS009", `real_server "rs2" {`},
		"a /24 VIP on lo": {direct,
			"  host   = host.rs1\n  ip     = \"192.0.2.100/32\"", "  host   = host.rs1\n  ip     = \"192.0.2.100/24\"", "LVS006", `ip = "192.0.2.100/24"`},
		"a port mapping in DR": {direct,
			"    host = host.rs1\n", "    host = host.rs1\n    port = 8080\n", "LVS001", `port = 8080`},
		"a port mapping in TUN": {tunnelled,
			"    host = host.rs1\n", "    host = host.rs1\n    port = 8080\n", "LVS001", `port = 8080`},
		"the director is the real server's gateway in DR": {direct,
			"  address = \"192.0.2.11\"\n  gateway = \"192.0.2.1\"", "  address = \"192.0.2.11\"\n  gateway = \"192.0.2.2\"", "LVS004", `gateway = "192.0.2.2"`},
		"the director is the real server's gateway in TUN": {tunnelled,
			"  via    = \"198.51.100.1\"", "  via    = \"192.0.2.2\"\n  device = \"eth0\"\n  onlink = true", "LVS004", `via = "192.0.2.2"`},
		"the director is not the real server's gateway in NAT": {natted,
			`  gateway = "192.168.10.254"`, `  gateway = "192.168.10.253"`, "LVS003", `gateway = "192.168.10.253"`},
		"the real server's own default route is kept in NAT": {natted,
			"route \"gateway\" {\n  host = host.rs2\n  to   = \"default\"\n  via  = \"192.168.10.254\"\n}\n", "", "LVS003", `gateway = "192.168.10.253"`},
		"the firewall is switched off instead of opened": {direct,
			"", "service \"firewall\" {\n  host    = host.dir1\n  name    = \"firewalld\"\n  running = false\n  enabled = false\n}\n", "LVS025", `running = false`},
	} {
		t.Run(name, func(t *testing.T) {
			config := edit(t, tc.scene, tc.old, tc.text)
			_, ds := judge(t, config, nil)
			for i, got := range shown(t, config, ds) {
				if (got == tc.check+" error: "+tc.line || got == tc.check+" warning: "+tc.line) && ds[i].Host != "" && ds[i].Object != "" && strings.HasSuffix(ds[i].Detail, ".") {
					return
				}
			}
			t.Errorf("no %s at %q, but %q", tc.check, tc.line, shown(t, config, ds))
		})
	}
}
