package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/formats/keepalived"
	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// What an example declares on a director, exported and imported again, is the
// same to the program.
func TestImportOfAnExportDeclaresTheSame(t *testing.T) {
	for example, of := range map[string]struct{ host, program string }{
		"dr-keepalived-mysql": {"lvs02", "keepalived"},
		"dr-ldirectord-https": {"dir1", "ldirectord"},
	} {
		for _, program := range []string{"keepalived", "ldirectord"} {
			t.Run(example+" "+program, func(t *testing.T) {
				top, diags := hcl.Load(hcl.Options{Dir: "../../examples/" + example})
				if diags.HasErrors() {
					t.Fatalf("%+v", diags)
				}
				want, err := planner.Export(top, of.host, program)
				if err != nil || !strings.Contains(want.Text, "virtual") {
					t.Fatalf("%v: %+v", err, want)
				}
				director := &topology.Host{Name: of.host, Path: "host." + of.host, Address: top.Host(of.host).Address, Managed: true}
				im, err := carryConfig(program, "file", want.Text, director)
				if err == nil && program == of.program && len(im.left) > 0 {
					t.Errorf("%+v is not carried over", im.left)
				}
				if err != nil || len(im.wrong) > 0 {
					t.Fatalf("%v: %+v", err, im)
				}
				back, err := loadText(im.text, im.secrets)
				if err != nil {
					t.Fatal(err)
				}
				got, err := planner.Export(back, of.host, program)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want.Text, got.Text); diff != "" {
					t.Error(diff)
				}
				declared := map[string]string{}
				for name, t2 := range map[string]*topology.Topology{"example": top, "import": back} {
					objects, err := planner.Desired(t2, of.host)
					if err != nil {
						t.Fatal(err)
					}
					for _, d := range objects {
						if c, ok := d.Object.(state.Config); ok {
							declared[name] = c.Program + "\n" + c.Text
						}
					}
				}
				if program == of.program && declared["example"] != declared["import"] {
					t.Error(cmp.Diff(declared["example"], declared["import"]))
				}
			})
		}
	}
}

// Whatever a file says, what comes of it is a configuration that declares no more
// than the file, and each password is a variable's.
func FuzzImportKeepalived(f *testing.F) {
	f.Add("vrrp_instance a {\n interface eth0\n virtual_router_id 1\n authentication {\n auth_type PASS\n auth_pass geheim\n }\n virtual_ipaddress {\n 192.0.2.1\n }\n}\n")
	f.Add("virtual_server 192.0.2.1 80 {\n protocol TCP\n sorry_server 127.0.0.1 80\n real_server 192.0.2.2 80 {\n HTTP_GET {\n url {\n path /\n }\n }\n }\n}\nvirtual_server fwmark 7 {\n lvs_method DR\n real_server 192.0.2.2 {\n MISC_CHECK {\n misc_path \"/bin/true a\"\n }\n }\n}\n")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			return
		}
		c, _, err := keepalived.Parse(text)
		if err != nil {
			return
		}
		im, err := carryConfig("keepalived", "file", text, dir1())
		if err != nil {
			t.Fatalf("%v, from %q", err, text)
		}
		for _, value := range im.secrets {
			if len(value) > 5 && strings.Contains(string(im.text), value) && strings.Count(text, value) == 1 {
				t.Errorf("%q is written:\n%s", value, im.text)
			}
		}
		if n := len(c.Instances) + len(c.Services); len(im.resources) < n && len(im.left) == 0 {
			t.Errorf("%d of %d are carried over, and nothing is listed", len(im.resources), n)
		}
	})
}
