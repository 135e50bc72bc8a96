//go:build lab

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// runsByHand is a director whose program runs what somebody has written, and the
// real servers behind it.
const runsByHand = `
topology "base" {}
host "dir1" {
  address = "192.0.2.9"
  interface "eth0" { addresses = ["192.0.2.9/24"] }
}
host "rs1" {
  address = "192.0.2.11"
  interface "eth0" { addresses = ["192.0.2.11/24"] }
}
host "rs2" {
  address = "192.0.2.12"
  interface "eth0" { addresses = ["192.0.2.12/24"] }
}
locals { servers = { rs1 = host.rs1, rs2 = host.rs2 } }
sysctl "arp" {
  for_each = local.servers
  host     = each.value
  settings = {
    "net.ipv4.conf.all.arp_ignore"   = 1
    "net.ipv4.conf.all.arp_announce" = 2
  }
}
address "vip" {
  for_each = local.servers
  host     = each.value
  ip       = "192.0.2.100/32"
  device   = "lo"
}
sysctl "reuse" {
  host     = host.dir1
  settings = { "net.ipv4.vs.conn_reuse_mode" = 2 }
}
service "program" {
  host    = host.dir1
  name    = "PROGRAM"
  running = true
  enabled = true
}
`

// The blocks that become lvsform's stand between others that do not.
const (
	keepalivedHead = "! by hand\nglobal_defs {\n  router_id here\n}\n"
	keepalivedTail = "# the rest\nvrrp_script nothing {\n  script \"/bin/true\"\n  user root\n}\n# no end of the line"
	keepalivedOurs = `vrrp_instance VI_1 {
  state MASTER
  interface eth0
  virtual_router_id 51
  priority 150
  advert_int 1
  authentication {
    auth_type PASS
    auth_pass geheim
  }
  virtual_ipaddress {
    192.0.2.100
  }
}
virtual_server 192.0.2.100 80 {
  delay_loop 2
  lb_algo wrr
  lb_kind DR
  protocol TCP
  real_server 192.0.2.11 80 {
    weight 3
    TCP_CHECK {
      connect_timeout 3
    }
  }
  real_server 192.0.2.12 80 {
    TCP_CHECK {
      connect_timeout 3
    }
  }
}
`
	ldirectordHead = "# by hand\ncheckinterval=1\nquiescent=yes\n"
	ldirectordTail = "# the rest\nvirtual=192.0.2.101:81\n    real=192.0.2.13:81 gate\n    checktype=on\n# no end of the line"
	ldirectordOurs = `virtual=192.0.2.100:80
    real=192.0.2.11:80 gate 3
    real=192.0.2.12:80 gate 1
    scheduler=wrr
    protocol=tcp
    checktype=connect
`
)

func TestHandWrittenConfigurationsAreTakenUp(t *testing.T) {
	for program, tc := range map[string]struct{ file, head, ours, tail, part, own string }{
		"keepalived": {"/etc/keepalived/keepalived.conf", keepalivedHead, keepalivedOurs, keepalivedTail, "/etc/keepalived/lvsform/dir1.conf", ""},
		"ldirectord": {"/etc/ha.d/ldirectord.cf", ldirectordHead, ldirectordOurs, ldirectordTail, "/etc/ha.d/ldirectord.cf",
			"address \"own\" {\n  host = host.dir1\n  ip = \"192.0.2.100/32\"\n  device = \"eth0\"\n}\n"},
	} {
		t.Run(program, func(t *testing.T) {
			s := newScene(t, strings.Replace(runsByHand, "PROGRAM", program, 1)+tc.own)
			text := tc.head + tc.ours + tc.tail
			s.put("dir1", tc.file, text)
			s.apply()
			serves := func(weight string) func() bool {
				return func() bool {
					w := s.weights("dir1")
					return w["192.0.2.11"] == weight && w["192.0.2.12"] == "1" && len(s.holders("192.0.2.100", "dir1")) == 1
				}
			}
			o := s.importOf(program, text)
			o.edit(`virtual_service "tcp_81" {`, "") // what the file has beside is another story
			for _, line := range o.planned() {
				if !strings.Contains(line, " adopt ") {
					t.Errorf("%s, want adoptions alone", line)
				}
			}
			o.apply()
			o.wantNoChanges()
			o.wantFile("dir1", tc.file, text)
			o.serve()
			s.untilOn("dir1", program+" serves", serves("3"))
			o.wantAnswers()

			// The first change takes the blocks over, and nobody notices.
			o.edit("weight = 3", "weight = 2")
			o.wantPlan("dir1 update config "+program+"/", "dir1 create config "+program+"/dir1")
			watch := s.watchHolders("dir1")
			answers := o.meanwhile("192.0.2.100:80", o.apply)
			if len(answers.Failures) > 0 {
				t.Errorf("lost requests: %v", answers.Failures)
			}
			if moved := watch(); len(moved) > 0 {
				t.Errorf("the VIP moved: %+v", moved)
			}
			s.untilOn("dir1", "the weight is the new one", serves("2"))
			o.wantNoChanges()
			o.wantAnswers()
			if now := s.on("dir1", "cat "+tc.file); !strings.HasPrefix(now, tc.head+tc.tail) || strings.Contains(now, tc.ours) {
				t.Errorf("what stays by hand is not as it was:\n%s", now)
			}
			if part := s.on("dir1", "cat "+tc.part); strings.Count(part, "192.0.2.12") != 1 {
				t.Errorf("the service is not once in\n%s", part)
			}
			o.destroy()
			o.wantFile("dir1", tc.file, tc.head+tc.tail)
			s.destroy()
		})
	}
}

// put writes a file on a host, byte for byte.
func (s *scene) put(host, file, text string) {
	s.t.Helper()
	s.on(host, "mkdir -p "+filepath.Dir(file)+"\ncat >"+file+" <<'end of the file'\n"+text+"\nend of the file\ntruncate -s -1 "+file+"; chmod 600 "+file)
}

func (s *scene) wantFile(host, file, want string) {
	s.t.Helper()
	if got := s.on(host, "cat "+file); got != want {
		s.t.Errorf("%s is\n%s\nwant\n%s", file, got, want)
	}
}

// edit replaces a text of the configuration; a block that begins with it goes
// where nothing takes its place.
func (s *scene) edit(old, text string) {
	s.t.Helper()
	main := filepath.Join(s.dir, "main.hcl")
	body, err := os.ReadFile(main)
	if err != nil {
		s.t.Fatal(err)
	}
	now := strings.Replace(string(body), old, text, 1)
	if before, rest, found := strings.Cut(string(body), old); text == "" && found {
		_, after, _ := strings.Cut(rest, "\n}\n")
		now = before + after
	}
	s.write(now)
}
