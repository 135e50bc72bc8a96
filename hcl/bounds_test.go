package hcl

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/sources"
	"github.com/lvsform/lvsform/topology"
)

// hostile are files that must end in a clear error, soon and in little memory.
var hostile = []struct{ name, file, src, want string }{
	{"opening brackets", "main.hcl", "a = " + strings.Repeat("[", 100_000), "Too deeply nested"},
	{"opening parentheses", "main.hcl", "a = " + strings.Repeat("(", 100_000), "Too deeply nested"},
	{"opening braces", "main.hcl", strings.Repeat("a {", 100_000), "Too deeply nested"},
	{"object braces", "main.hcl", "a = " + strings.Repeat("{a=", 100_000), "Too deeply nested"},
	{"templates", "main.hcl", "a = " + strings.Repeat(`"${`, 100_000), "Too deeply nested"},
	{"template ifs", "main.hcl", `a = "` + strings.Repeat(`%{ if true }`, 50_000), "Too deeply nested"},
	{"heredocs", "main.hcl", "a = " + strings.Repeat("<<E\n${", 50_000), "Too deeply nested"},
	{"calls", "main.hcl", "a = " + strings.Repeat("f(", 100_000), "Too deeply nested"},
	{"not not", "main.hcl", "a = " + strings.Repeat("!", 100_000), "Too deeply nested"},
	{"minus minus", "main.hcl", "a = " + strings.Repeat("-", 100_000) + "1", "Too deeply nested"},
	{"sums", "main.hcl", "a = 1" + strings.Repeat(" + 1", 100_000), "Too deeply nested"},
	{"conditions", "main.hcl", "a = " + strings.Repeat("true ? 1 : ", 50_000) + "1", "Too deeply nested"},
	{"indexes", "main.hcl", "a = b" + strings.Repeat("[c]", 100_000), "Too deeply nested"},
	{"attributes", "main.hcl", "a = b" + strings.Repeat(".c", 100_000), "Too deeply nested"},
	{"splats", "main.hcl", "a = b" + strings.Repeat(".*", 100_000), "Too deeply nested"},
	{"for braces", "main.hcl", "a = {for a in b : c => 1" + strings.Repeat("\n + 1", 100_000), "Too deeply nested"},
	{"type", "main.hcl", "variable \"a\" {\n type = " + strings.Repeat("list(", 10_000) + "any" + strings.Repeat(")", 10_000) + "\n}", "Too deeply nested"},
	{"JSON arrays", "main.hcl.json", strings.Repeat("[", 100_000), "Too deeply nested"},
	{"JSON objects", "main.hcl.json", strings.Repeat(`{"a":`, 100_000), "Too deeply nested"},
	{"JSON template", "main.hcl.json", `{"topology":{"a":{}},"output":{"a":{"value":"${` + strings.Repeat("[", 100_000) + `"}}}`, "Too deeply nested"},
	{"JSON type", "main.hcl.json", `{"topology":{"a":{}},"variable":{"a":{"type":"` + strings.Repeat("list(", 100_000) + `"}}}`, "Too deeply nested"},
	{"exponent", "main.hcl", root(`output "a" { value = "x${1e1000000}" }`), "Too deeply nested"},
	{"JSON exponent", "main.hcl.json", `{"topology":{"a":{}},"output":{"a":{"value":1e1000000}}}`, "Value too large"},
	{"digits", "main.hcl", root(`output "a" { value = ` + strings.Repeat("9", 100_000) + ` }`), "Too deeply nested"},
	{"text to number", "main.hcl", root(`output "a" { value = "x${"1e1000000" + 1}" }`), "Value too large"},
	{"tonumber", "main.hcl", root(`output "a" { value = "x${tonumber("1e100000000")}" }`), "Value too large"},
	{"format number", "main.hcl", root(`output "a" { value = format("%d", "1e100000000") }`), "Invalid function argument"},
	{"format width", "main.hcl", root(`output "a" { value = format("%1000000000s", "x") }`), "Invalid function argument"},
	{"parseint", "main.hcl", root(`output "a" { value = parseint("` + strings.Repeat("9", 100_000) + `", 10) }`), "Invalid function argument"},
	{"jsondecode exponent", "main.hcl", root(`output "a" { value = "x${jsondecode("1e100000000")}" }`), "Value too large"},
	{"jsondecode nesting", "main.hcl", root(`output "a" { value = jsondecode("` + strings.Repeat("[", 100_000) + `") }`), "Invalid function argument"},
	{"squares", "main.hcl", root("locals {\n a0 = 1e300\n" + chain(40, "a%d = local.a%d * local.a%d\n") + "}\n"), "Value too large"},
	{"yaml aliases", "main.hcl", root(`output "a" { value = yamldecode("` + aliases(12) + `") }`), "Invalid function argument"},
	{"yaml nesting", "main.hcl", root(`output "a" { value = yamldecode("` + strings.Repeat("[", 5_000) + strings.Repeat("]", 5_000) + `") }`), "Invalid function argument"},
	{"nested fors", "main.hcl", root(`output "a" { value = [for a in range(1000) : [for b in range(1000) : [for c in range(1000) : "${a}${b}${c}"]]] }`), "Value too large"},
	{"filtered fors", "main.hcl", root(`output "a" { value = [for a in range(1000) : [for b in range(1000) : [for c in range(1000) : c if false]]] }`), "Value too large"},
	{"object fors", "main.hcl", root(`output "a" { value = { for a in range(1000) : a => { for b in range(1000) : b => { for c in range(1000) : c => c } } } }`), "Value too large"},
	{"template fors", "main.hcl", root(`output "a" { value = "%{ for a in range(1000) }%{ for b in range(1000) }%{ for c in range(1000) }x%{ endfor }%{ endfor }%{ endfor }" }`), "Value too large"},
	{"splat of splats", "main.hcl", root("locals {\n a0 = range(1000)\n}\noutput \"a\" { value = local.a0[*].b }"), "Unsupported attribute"},
	{"range", "main.hcl", root(`output "a" { value = range(1000000000) }`), "function"},
	{"setproduct", "main.hcl", root(`output "a" { value = setproduct(range(1000), range(1000), range(1000)) }`), "Error in function call"},
	{"doubled text", "main.hcl", root("locals {\n a0 = \"xxxxxxxx\"\n" + chain(60, "a%d = \"${local.a%d}${local.a%d}\"\n") + "}\n"), "Value too large"},
	{"doubled list", "main.hcl", root("locals {\n a0 = [1, 2]\n" + chain(60, "a%d = [local.a%d, local.a%d]\n") + "}\n"), "Value too large"},
	{"doubled list in functions", "main.hcl", root("locals {\n a0 = range(1000)\n}\noutput \"a\" { value = jsonencode([" + strings.Repeat("local.a0,", 5000) + "]) }\n"), "Value too large"},
	{"compared lists", "main.hcl", root("locals {\n a0 = range(1000)\n}\noutput \"a\" { value = [" + strings.Repeat("local.a0,", 5000) + "] == 1 }\n"), "Value too large"},
	{"join", "main.hcl", root("locals {\n a0 = join(\"xxxxxxxx\", range(1000))\n a1 = join(local.a0, range(1000))\n a2 = join(local.a1, range(1000))\n}"), "Value too large"},
	{"replace", "main.hcl", root("locals {\n a0 = join(\"xxxxxxxx\", range(1000))\n a1 = replace(local.a0, \"x\", local.a0)\n a2 = replace(local.a1, \"\", local.a1)\n}"), "Error in function call"},
	{"indent", "main.hcl", root(`output "a" { value = indent(1000000000, "a\nb") }`), "Invalid function argument"},
	{"many large texts", "main.hcl", root("locals {\n a = join(\"\", [for a in range(1000) : \"" + strings.Repeat("x", 1000) + "\"])\n" + chain(2000, "b%d = \"${local.a}y\" #%d%d\n") + "}\n"), "Value too large"},
	{"deep list", "main.hcl", root("locals {\n a0 = 1\n" + chain(300, "a%d = [local.a%d] # %d\n") + "}\n"), "Value too large"},
	{"long chain", "main.hcl", root("locals {\n a0 = 1\n" + chain(30_000, "a%d = local.a%d # %d\n") + "}\n output \"x\" { value = local.a30000 }"), "chain"},
	{"format repeats", "main.hcl", root("locals {\n a = join(\"xxxxxxxx\", range(1000))\n}\noutput \"a\" { value = format(\"" + strings.Repeat("%[1]s", 5_000) + "\", local.a) }"), "Error in function call"},
	{"pieces of text", "main.hcl", root("output \"a\" { value = \"" + strings.Repeat("%[1]s", 100_000) + "\" }"), "Too deeply nested"},
	{"lines of text", "main.hcl", root("output \"a\" {\n value = <<E\n" + strings.Repeat("xxxxxxxx\n", 50_000) + "E\n}"), "Too deeply nested"},
	{"formatlist repeats", "main.hcl", root("locals {\n a = join(\"xxxxxxxx\", range(1000))\n}\noutput \"a\" { value = formatlist(\"" + strings.Repeat("%[1]s", 1000) + "%[2]d\", local.a, range(1000)) }"), "Error in function call"},
	{"regex", "main.hcl", root(`output "a" { value = regexall("(x?){1000}(x?){1000}$", "` + strings.Repeat("x", 100_000) + `") }`), "Error in function call"},
	{"split", "main.hcl", root(`output "a" { value = split("", "` + strings.Repeat("x", 900_000) + `") }`), "Invalid function argument"},
	{"distinct", "main.hcl", root(`output "a" { value = distinct([for a in setproduct(range(500), range(100)) : a[0]]) }`), "Value too large"},
	{"unified types", "main.hcl", root(`output "a" { value = true ? [for a in setproduct(range(500), range(100)) : a[0]] : [] }`), "Value too large"},
	{"ceil", "main.hcl", root(`output "a" { value = ceil("1e600000000") }`), "Value too large"},
	{"modulo", "main.hcl", root(`output "a" { value = "1e600000000" % 3 }`), "Value too large"},
	{"negated", "main.hcl", root(`output "a" { value = "${-"1e600000000"}" }`), "Value too large"},
	{"number argument", "main.hcl", root("host \"h\" { address = \"192.0.2.1\" }\nvirtual_service \"a\" {\n host = host.h\n fwmark = \"1e600000000\"\n}"), "Unsuitable value for fwmark"},
	{"table argument", "main.hcl", root("host \"h\" { address = \"192.0.2.1\" }\nroute \"a\" {\n host = host.h\n to = \"default\"\n device = \"lo\"\n table = \"1e600000000\"\n}"), "Unsuitable value for table"},
	{"variable type", "main.hcl", root("variable \"a\" {\n type = number\n default = \"1e600000000\"\n}\noutput \"a\" { value = \"${var.a}\" }"), "Value too large"},
	{"templates in a loop", "main.hcl", root(`output "a" { value = [for a in range(1000) : length(templatefile("main.hcl", {}))] }` + "\n# " + strings.Repeat("x", 900_000)), "function"},
	{"count", "main.hcl", root("host \"a\" {\n count = 1000000000\n address = \"192.0.2.1\"\n}"), "Invalid count"},
	{"for_each", "main.hcl", root("host \"a\" {\n for_each = toset([for a in setproduct(range(1000), range(100)) : \"${a[0]}-${a[1]}\"])\n address = \"192.0.2.1\"\n}"), "Too many instances"},
	{"many counts", "main.hcl", root(chain(100, "host \"a%d\" {\n count = 16000 # %d %d\n address = \"192.0.2.1\"\n}\n")), "Too many instances"},
	{"dynamic in dynamic", "main.hcl", root(`host "h" { address = "192.0.2.1" }
virtual_service "a" {
  host   = host.h
  fwmark = 1
  dynamic "real_server" {
    for_each = range(1000)
    labels   = [real_server.key]
    content {
      address = "10.0.${floor(real_server.key / 256)}.${real_server.key % 256}"
      dynamic "tunnel" {
        for_each = range(1000)
        content { type = "ipip" }
      }
    }
  }
}`), "Value too large"},
}

// hostileBlocks is what a configuration could do with the blocks themselves.
var hostileBlocks = []struct{ name, src, want string }{
	{"many ports", onHost("mark", `protocol = "tcp"
 address = "192.0.2.1"
 mark = 1
 ports = flatten([for a in range(1000) : [for b in range(60) : a * 60 + b + 1]])`), "Invalid ports"},
	{"port with an exponent", onHost("mark", `protocol = "tcp"
 address = "192.0.2.1"
 mark = 1
 ports = ["1e600000000", 80]`), "Invalid ports"},
	{"port of many digits", onHost("mark", `protocol = "tcp"
 address = "192.0.2.1"
 mark = 1
 ports = [join("", [for a in range(1000) : "99999999"])]`), "Invalid ports"},
	{"ports in lists", onHost("mark", `protocol = "tcp"
 address = "192.0.2.1"
 mark = 1
 ports = `+strings.Repeat("[", 90)+strings.Repeat("]", 90)), "Invalid ports"},
	{"mark with an exponent", onHost("mark", `protocol = "tcp"
 address = "192.0.2.1"
 ports = [80]
 mark = "1e600000000"`), "Unsuitable value for mark"},
	{"mark of a large number", onHost("mark", `protocol = "tcp"
 address = "192.0.2.1"
 ports = [80]
 mark = 1e300`), "mark out of range"},
	{"many real servers", onHost("masquerade", `protocol = "tcp"
 vip = "192.0.2.1"
 to = flatten([for a in range(1000) : [for b in range(1000) : "192.0.2.1"]])`), "Value too large"},
	{"address of a megabyte", onHost("masquerade", `protocol = "tcp"
 vip = join("", [for a in range(1000) : "`+strings.Repeat("1", 1000)+`"])
 to = [join("", [for a in range(1000) : "`+strings.Repeat(":", 1000)+`"])]`), "Invalid vip"},
	{"host value of many attributes", onHost("masquerade", `protocol = "tcp"
 vip = "192.0.2.1"
 to = [{ for a in range(1000) : "a${a}" => a }]`), "Invalid host"},
	{"timeout with an exponent", onHost("ipvs", `timeouts { tcp = "1e600000000" }`), "Invalid tcp"},
	{"timeout of a large number", onHost("ipvs", `timeouts { tcp = 1e300 }`), "Invalid tcp"},
	{"timeout of many units", onHost("ipvs", `timeouts { tcp = "`+strings.Repeat("1h", 100_000)+`" }`), "Invalid tcp"},
	{"table bits of a large number", onHost("ipvs", `connection_table_bits = 1e300`), "connection_table_bits out of range"},
	{"many modules", onHost("ipvs", `modules = [for a in range(1025) : "ip_vs_${a}"]`), ""},
	{"module of a megabyte", onHost("ipvs", `modules = [join("", [for a in range(1000) : "`+strings.Repeat("x", 1000)+`"])]`), "Invalid modules"},
	{"many syncs", onHost("ipvs", `dynamic "sync" {
  for_each = range(1000)
  labels   = ["x${sync.key}"]
  content { interface = "eth0" }
 }`), "Invalid role"},
	{"dynamic syncs in dynamic blocks", onHost("ipvs", `dynamic "sync" {
  for_each = flatten([for a in range(1000) : range(1000)])
  labels   = ["x${sync.key}"]
  content { interface = "eth0" }
 }`), "Value too large"},
	{"role with control characters", onHost("ipvs", "sync \"mas\\u0000\\u001b[2Jter\" { interface = \"eth0\" }"), "Invalid role"},
	{"interface with a NUL", onHost("ipvs", "sync \"master\" { interface = \"eth\\u0000\" }"), "Invalid interface"},
	{"package with control characters", onHost("package", "names = [\"\\u001b]0;x\\u0007\"]"), "Invalid names"},
	{"package with a newline", onHost("package", "names = [\"ipvsadm\\nreboot\"]"), "Invalid names"},
	{"many packages", onHost("package", `names = flatten([for a in range(1000) : [for b in range(60) : "p${a}-${b}"]])`), "Value too large"},
	{"thousands of packages", onHost("package", `names = flatten([for a in range(1000) : [for b in range(3) : "p${a}-${b}"]])`), "Invalid names"},
	{"service with a NUL", onHost("service", "name = \"a\\u0000b\"\n running = true"), "Invalid service name"},
	{"service of a megabyte", onHost("service", `name = join("", [for a in range(1000) : "`+strings.Repeat("x", 1000)+`"])
 running = true`), "Invalid service name"},
	{"unwrapping with an exponent", onHost("link", `name = "tunl0"
 kind = "existing"
 fou { port = "1e600000000" }`), "Unsuitable value for port"},
	{"real server with control characters", onHost("virtual_service", "fwmark = 1\n real_server \"\\u009b2Jx\" { address = \"192.0.2.1\" }"), "Invalid real server name"},
	{"real server written from right to left", onHost("virtual_service", "fwmark = 1\n real_server \"\\u202ex\" { address = \"192.0.2.1\" }"), "Invalid real server name"},
	{"key with control characters", "host \"h\" {\n for_each = toset([\"\\u009b2J\"])\n address = \"192.0.2.1\"\n}", "Invalid for_each key"},
	{"message with control characters", "variable \"a\" {\n default = 1\n validation {\n condition = var.a == 2\n error_message = \"\\u001b[2J\\u0007x\"\n }\n}", "Invalid value for variable"},
	{"ignore_changes of every instance", rules("b", "lifecycle { ignore_changes = ["+strings.Repeat("table, ", 20_000)+"tabel] }"), "Invalid ignore_changes"},
	{"all instances wait for all", rules("b", "depends_on = [rule.a]"), "Too many dependencies"},
	{"all instances wait for all, again and again", rules("b", "depends_on = ["+strings.Repeat("rule.a, ", 20_000)+"]"), "Too many dependencies"},
	{"unknown hosts of every instance", "host \"h\" {\n count = 16000\n address = \"192.0.2.1\"\n}\nrule \"a\" {\n count = 16000\n host = { name = \"x${count.index}\" }\n table = 1\n priority = 1\n fwmark = 1\n}", "Unknown host"},
	{"everything in every output", rules("b", "") + chain(10_000, "output \"o%d\" { value = rule.a } # %d %d\n"), "Value too large"},
	{"everything in every local value", rules("b", "") + "locals {\n" + chain(10_000, "o%d = [rule.a] # %d %d\n") + "}\n", "Value too large"},
	{"mistakes of every instance", "module \"m\" {\n source = \"lvsform://dr\"\n count = 10000\n}", "Missing argument"},
	{"NUL in a block's name", "mark \"a\x00\" {}", ""},
	{"git source of a megabyte", "module \"m\" { source = \"git::https://example.net/" + strings.Repeat("x", 900_000) + "?ref=v1\" }", "Invalid source"},
	{"git source of many directories", "module \"m\" { source = \"git::https://example.net/x//" + strings.Repeat("a/", 900) + "?ref=v1\" }", "Invalid source"},
	{"git source with a NUL", "module \"m\" { source = \"git::https://example.net/x\\u0000?ref=v1\" }", "Invalid source"},
	{"git source with a newline", "module \"m\" { source = \"git::https://example.net/x?ref=v1\\n--upload-pack=x\" }", "Invalid source"},
	{"many instances of modules", "module \"m\" {\n source = \"lvsform://dr\"\n count = 16000\n}\nmodule \"n\" {\n source = \"lvsform://dr\"\n count = 16000\n}", "Too many instances"},
	{"many instances of marks", chain(100, "mark \"a%d\" {\n count = 16000 # %d %d\n}\n"), "Too many instances"},
}

// rules are many instances of a block, and as many of another.
func rules(name, attributes string) string {
	const plain = " count = 16000\n host = host.h\n table = 1\n priority = 1\n fwmark = 1\n"
	return "host \"h\" { address = \"192.0.2.1\" }\nrule \"a\" {\n" + plain + "}\nrule \"" + name + "\" {\n" + plain + attributes + "\n}\n"
}

func onHost(kind, attributes string) string {
	return "host \"h\" { address = \"192.0.2.1\" }\n" + kind + " \"a\" {\n host = host.h\n " + attributes + "\n}\n"
}

func TestLoadRefusesHostileBlocks(t *testing.T) {
	for _, tt := range hostileBlocks {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			writeFile(t, filepath.Join(dir, "main.hcl"), []byte(root(tt.src)))
			_, diags := Load(Options{Dir: dir})
			wantError(t, diags, tt.want)
			if len(diags) > 202 {
				t.Errorf("%d messages for one mistake", len(diags))
			}
			for _, d := range diags {
				if text := d.Summary + d.Detail + d.Source; strings.ContainsFunc(strings.NewReplacer("\n", "", "\t", "", "\ufffd", "").Replace(text), misleads) || len(text) > 4000 {
					t.Errorf("a message of %d characters, or with control characters: %.300q", len(text), text)
				}
			}
		})
	}
}

func TestLoadRefusesHostileLocks(t *testing.T) {
	for name, src := range map[string]string{
		"nesting":    strings.Repeat("module {", 100_000),
		"expression": "module {\n source = " + strings.Repeat("[", 100_000),
		"size":       strings.Repeat("module {}\n", 200_000),
		"control":    "module {\n source = \"git::https://example.net/\\u001b[2J\"\n ref = \"v1\"\n commit = \"\"\n checksum = \"\"\n}",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeFile(t, filepath.Join(dir, sources.LockFile), []byte(src))
			_, diags := ReadLock(dir)
			wantError(t, diags, "")
			for _, d := range diags {
				if strings.ContainsRune(d.Summary+d.Detail+d.Source, '\x1b') {
					t.Errorf("%q moves the cursor", d.Detail)
				}
			}
		})
	}
}

func root(s string) string { return "topology \"a\" {}\n" + s }

// chain repeats a line for 1 to n, with the number, and twice the one before.
func chain(n int, line string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, line, i+1, i, i)
	}
	return b.String()
}

func aliases(n int) string {
	var b strings.Builder
	b.WriteString(`a0: &a0 [1, 2]\n`)
	for i := range n {
		fmt.Fprintf(&b, `a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n`, i+1, i+1, i, i, i, i, i, i)
	}
	return b.String()
}

func TestLoadRefusesHostileInput(t *testing.T) {
	for _, tt := range hostile {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			writeFile(t, filepath.Join(dir, tt.file), []byte(tt.src))
			top, diags := Load(Options{Dir: dir})
			if top == nil {
				t.Fatal("Load returned no topology")
			}
			wantError(t, diags, tt.want)
			if len(diags) > 20 {
				t.Errorf("%d messages for one mistake", len(diags))
			}
		})
	}
}

// wantError looks for an error that names the cause.
func wantError(t *testing.T, diags topology.Diagnostics, want string) {
	t.Helper()
	for _, d := range diags {
		if d.Severity == topology.Error && strings.Contains(d.Summary, want) {
			return
		}
	}
	for i, d := range diags {
		if i < 5 {
			t.Logf("%s: %.100s: %.200s", d.Severity, d.Summary, d.Detail)
		}
	}
	t.Errorf("no error %q among %d messages", want, len(diags))
}

func TestFormatRefusesHostileInput(t *testing.T) {
	for _, tt := range hostile {
		if tt.want != "Too deeply nested" || tt.file != "main.hcl" {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			_, diags := Format(tt.file, []byte(tt.src))
			wantError(t, diags, tt.want)
		})
	}
}

func TestLoadRefusesLargeFiles(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "main.hcl"), []byte(root(strings.Repeat("# comment\n", maxFileSize/10+1))))
	_, diags := Load(Options{Dir: dir})
	wantError(t, diags, "main.hcl cannot be read")
}

func TestLoadRefusesModuleThatIncludesItself(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "main.hcl"), []byte(root("module \"m\" { source = \"./m\" }")))
	writeFile(t, filepath.Join(dir, "m", "main.hcl"), []byte("module \"m\" { source = \"../m\" }"))
	_, diags := Load(Options{Dir: dir})
	wantError(t, diags, "Module includes itself")
}

func TestLoadRefusesModulesThatMultiply(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "main.hcl"), []byte(root("module \"m\" { source = \"./m0\" }")))
	for i := range 20 {
		src := fmt.Sprintf("module \"m\" {\n count = 100\n source = \"../m%d\"\n}\nhost \"h\" { address = \"192.0.2.1\" }", i+1)
		writeFile(t, filepath.Join(dir, fmt.Sprintf("m%d", i), "main.hcl"), []byte(src))
	}
	writeFile(t, filepath.Join(dir, "m20", "main.hcl"), []byte("locals {}"))
	_, diags := Load(Options{Dir: dir})
	wantError(t, diags, "Too many instances")
}

// Bounds are for mistakes and malice, not for large clusters.
func TestLoadTakesLargeTopologies(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "main.hcl"), []byte(root(`
host "h" {
  count   = 10000
  address = cidrhost("10.0.0.0/8", count.index + 1)
}
`+chain(3, `rule "a%d" { #%[2]d
  count    = 10000
  host     = host.h[count.index]
  from     = [for a in range(20) : "10.0.0.0/8"][0]
  table    = "main"
  priority = %[1]d
}
`))))
	top, diags := Load(Options{Dir: dir})
	if len(diags) > 0 || len(top.Hosts) != 10_000 || len(top.Resources) != 30_000 {
		t.Errorf("%d hosts, %d resources, %+v", len(top.Hosts), len(top.Resources), diags[:min(len(diags), 3)])
	}
}
