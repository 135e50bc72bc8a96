//go:build lab

package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What the table of ipvsadm's options (docs/ipvsadm.md) says can be declared, in
// one configuration. The VIPs are facts about the director: this is about the
// table, not about its packets.
const ipvsadmHCL = `
topology "ipvsadm" {}
host "dir1" {
  address = "192.0.2.9"
  interface "eth0" {
    addresses = ["192.0.2.9/24", "2001:db8::9/64", "192.0.2.100/24", "192.0.2.101/24", "192.0.2.102/24", "2001:db8::100/64"]
  }
}

ipvs "dir1" {
  host = host.dir1
  timeouts {
    tcp     = "120s"
    tcp_fin = "30s"
    udp     = "60s"
  }
  sync "master" {
    interface  = "eth0"
    id         = 7
    group      = "224.0.0.99"
    port       = 9000
    ttl        = 2
    max_length = 1400
  }
  sync "backup" {
    interface = "eth0"
    id        = 9
  }
}

# Weights, thresholds, all ways of forwarding, a mapped port.
virtual_service "web" {
  host      = host.dir1
  protocol  = "tcp"
  address   = "192.0.2.100"
  port      = 80
  scheduler = "wrr"
  real_server "dr" {
    address = "192.0.2.11"
    weight  = 100000
  }
  real_server "nat" {
    address         = "192.0.2.12"
    port            = 8080
    forward         = "nat"
    upper_threshold = 70000
    lower_threshold = 1
  }
  real_server "tun" {
    address = "192.0.2.13"
    forward = "tun"
    weight  = 0
  }
  real_server "gue" {
    address = "192.0.2.14"
    forward = "tun"
    tunnel {
      type     = "gue"
      port     = 6080
      checksum = "csum"
    }
  }
  real_server "remcsum" {
    address = "192.0.2.15"
    forward = "tun"
    tunnel {
      type     = "gue"
      port     = 6081
      checksum = "remcsum"
    }
  }
  real_server "nocsum" {
    address = "192.0.2.16"
    forward = "tun"
    tunnel {
      type = "gue"
      port = 6082
    }
  }
  real_server "gre" {
    address = "192.0.2.17"
    forward = "tun"
    tunnel {
      type     = "gre"
      checksum = "csum"
    }
  }
  real_server "local" {
    address         = "192.0.2.9"
    forward         = "nat"
    upper_threshold = 65535
  }
}

# Every port, persistent, clients of a network together.
virtual_service "every" {
  host     = host.dir1
  protocol = "tcp"
  address  = "192.0.2.101"
  port     = 0
  persistence { netmask = "255.255.255.0" }
  real_server "a" { address = "192.0.2.11" }
  real_server "b" {
    address = "192.0.2.12"
    port    = 81
    forward = "nat"
  }
}

virtual_service "calls" {
  host       = host.dir1
  protocol   = "udp"
  address    = "192.0.2.102"
  port       = 5060
  scheduler  = "rr"
  one_packet = true
  persistence {
    timeout = "90s"
    engine  = "sip"
  }
  real_server "a" {
    address = "192.0.2.11"
    forward = "nat"
  }
}

virtual_service "stream" {
  host            = host.dir1
  protocol        = "sctp"
  address         = "192.0.2.102"
  port            = 99
  scheduler       = "wlc"
  scheduler_flags = ["flag-1", "flag-3"]
  real_server "a" { address = "192.0.2.11" }
}

# Firewall marks of both families; a port that is only kept.
virtual_service "marked" {
  host            = host.dir1
  fwmark          = 7
  family          = "ipv4"
  scheduler       = "sh"
  scheduler_flags = ["sh-fallback", "sh-port"]
  persistence {
    timeout = "600s"
    netmask = 16
  }
  real_server "a" {
    address = "192.0.2.11"
    port    = 80
  }
  real_server "b" {
    address = "192.0.2.12"
    forward = "tun"
  }
  real_server "c" {
    address = "192.0.2.12"
    port    = 8080
    forward = "nat"
  }
}
virtual_service "marked6" {
  host            = host.dir1
  fwmark          = 2147483647
  family          = "ipv6"
  scheduler       = "mh"
  scheduler_flags = ["mh-fallback", "mh-port"]
  one_packet      = true
  real_server "a" { address = "2001:db8::11" }
}

virtual_service "six" {
  host      = host.dir1
  protocol  = "tcp"
  address   = "2001:db8::100"
  port      = 443
  scheduler = "nq"
  persistence {
    timeout = "2678400s"
    netmask = 64
  }
  real_server "a" { address = "2001:db8::11" }
}
`

// ipvsadmCommands make the same table by hand.
const ipvsadmCommands = `
ipvsadm --set 120 30 60
ipvsadm --start-daemon master --mcast-interface eth0 --syncid 7 --sync-maxlen 1400 --mcast-group 224.0.0.99 --mcast-port 9000 --mcast-ttl 2
ipvsadm --start-daemon backup --mcast-interface eth0 --syncid 9
ipvsadm -A -t 192.0.2.100:80 -s wrr
ipvsadm -a -t 192.0.2.100:80 -r 192.0.2.11 -g -w 100000
ipvsadm -a -t 192.0.2.100:80 -r 192.0.2.12:8080 -m -x 70000 -y 1
ipvsadm -a -t 192.0.2.100:80 -r 192.0.2.13 -i -w 0
ipvsadm -a -t 192.0.2.100:80 -r 192.0.2.14 -i --tun-type gue --tun-port 6080 --tun-csum
ipvsadm -a -t 192.0.2.100:80 -r 192.0.2.15 -i --tun-type gue --tun-port 6081 --tun-remcsum
ipvsadm -a -t 192.0.2.100:80 -r 192.0.2.16 -i --tun-type gue --tun-port 6082 --tun-nocsum
ipvsadm -a -t 192.0.2.100:80 -r 192.0.2.17 -i --tun-type gre --tun-csum
ipvsadm -a -t 192.0.2.100:80 -r 192.0.2.9 -m --u-threshold 65535
ipvsadm -A -t 192.0.2.101 -p 300 -M 255.255.255.0
ipvsadm -a -t 192.0.2.101 -r 192.0.2.11
ipvsadm -a -t 192.0.2.101 -r 192.0.2.12:81 -m
ipvsadm -A -u 192.0.2.102:5060 -s rr -o -p 90 --pe sip
ipvsadm -a -u 192.0.2.102:5060 -r 192.0.2.11 -m
ipvsadm -A --sctp-service 192.0.2.102:99 -s wlc -b flag-1,flag-3
ipvsadm -a --sctp-service 192.0.2.102:99 -r 192.0.2.11
ipvsadm -A -f 7 -s sh -b sh-fallback,sh-port -p 600 -M 255.255.0.0
ipvsadm -a -f 7 -r 192.0.2.11:80 -g
ipvsadm -a -f 7 -r 192.0.2.12 -i
ipvsadm -a -f 7 -r 192.0.2.12:8080 -m
ipvsadm -A -f 2147483647 -6 -s mh -b mh-fallback,mh-port -o
ipvsadm -a -f 2147483647 -6 -r [2001:db8::11]:0 -g
ipvsadm -A -t [2001:db8::100]:443 -s nq -p 2678400 -M 64
ipvsadm -a -t [2001:db8::100]:443 -r [2001:db8::11]:443 -g`

// natRouter is what NAT needs beside the table.
const natRouter = "sysctl -qw net.ipv4.ip_forward=1"

// ipvsadmTable is all that ipvsadm tells of a table but counters, sorted.
const ipvsadmTable = `ipvsadm -Sn | sort; ipvsadm -Ln --thresholds --sort; ipvsadm -Ln --tun-info --sort; ipvsadm -Ln --timeout; ipvsadm -Ln --daemon`

// What lvsform applied, saved with ipvsadm and restored with it, is the same
// table: the plan is empty.
func TestSavedTableRestoresTheSame(t *testing.T) {
	s := newScene(t, ipvsadmHCL)
	s.on("dir1", natRouter)
	before := s.dumps()
	s.apply()
	s.wantPlan()
	table := s.on("dir1", ipvsadmTable)
	s.on("dir1", "ipvsadm -Sn >/tmp/table; ipvsadm -Ln --thresholds >/tmp/thresholds; ipvsadm -C; ipvsadm -R </tmp/table")
	// -S knows no thresholds: they come from the listing.
	for _, edit := range thresholdEdits(s.on("dir1", "cat /tmp/thresholds"), s.on("dir1", "cat /tmp/table")) {
		s.on("dir1", edit)
	}
	s.wantOn("dir1", ipvsadmTable, table)
	s.wantPlan()
	s.destroy()
	s.wantAsBefore(before)
}

// A table that was made with ipvsadm is described by a configuration that only
// adopts it.
func TestTableOfIpvsadmIsAdopted(t *testing.T) {
	s := newScene(t, ipvsadmHCL)
	s.on("dir1", natRouter)
	inMachine(t, "modprobe -a ip_vs_sh ip_vs_mh ip_vs_nq") // ipvsadm in a host loads none
	s.on("dir1", ipvsadmCommands)
	table := s.on("dir1", ipvsadmTable)
	planned := s.planned()
	for _, line := range planned {
		if !strings.HasPrefix(line, "dir1 adopt ipvs_") {
			t.Errorf("the plan is more than an adoption: %s", line)
		}
	}
	if want := strings.Count(ipvsadmCommands, "\nipvsadm"); len(planned) != want { // each command made one object
		t.Errorf("%d objects to adopt, want %d: %q", len(planned), want, planned)
	}
	s.apply()
	s.wantPlan()
	if diff := cmp.Diff(tidy(table), tidy(s.on("dir1", ipvsadmTable))); diff != "" {
		t.Errorf("adopting changed the table (-before +after):\n%s", diff)
	}
}

// thresholdEdits are the ipvsadm commands that put thresholds back, from what
// --thresholds listed and -S saved.
func thresholdEdits(listing, saved string) []string {
	service := regexp.MustCompile(`^(TCP|UDP|SCTP|FWM) +(\S+)( IPv6)?`)
	server := regexp.MustCompile(`^ *-> (\S+) +(\d+) +(\d+) `)
	options := map[string]string{"TCP": "-t", "UDP": "-u", "SCTP": "--sctp-service", "FWM": "-f"}
	var out []string
	at := ""
	for line := range strings.Lines(listing) {
		if m := service.FindStringSubmatch(line); m != nil {
			at = options[m[1]] + " " + m[2]
			if m[3] != "" {
				at += " -6"
			}
		}
		m := server.FindStringSubmatch(line)
		if m == nil || m[2] == "0" && m[3] == "0" {
			continue
		}
		// An edit replaces everything: the rest is what was saved.
		for add := range strings.Lines(saved) {
			if prefix := fmt.Sprintf("-a %s -r %s ", at, m[1]); strings.HasPrefix(add, prefix) {
				out = append(out, fmt.Sprintf("ipvsadm -e %s -x %s -y %s", strings.TrimPrefix(strings.TrimSpace(add), "-a "), m[2], m[3]))
			}
		}
	}
	return out
}
