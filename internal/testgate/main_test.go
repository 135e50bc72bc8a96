package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestGate(t *testing.T) {
	pass := `{"Action":"pass","Package":"p","Test":"TestA","Elapsed":1}` + "\n"
	for name, tc := range map[string]struct {
		in   string
		ok   bool
		want string // in the output
	}{
		"all passed": {pass + `{"Action":"pass","Package":"p","Elapsed":2}`, true, "1 passed, 0 failed, 0 skipped"},
		"a package without test files is no skip": {pass + `{"Action":"skip","Package":"q"}`, true, "0 skipped"},
		"a skip fails, with its reason": {pass +
			`{"Action":"output","Package":"p","Test":"TestB","Output":"no IPVS here\n"}` + "\n" +
			`{"Action":"skip","Package":"p","Test":"TestB"}`, false, "no IPVS here\nSKIP\tp TestB"},
		"a failure fails": {pass + `{"Action":"fail","Package":"p","Test":"TestB"}`, false, "1 failed"},
		"a build failure shows the compiler's words": {pass +
			`{"Action":"build-output","ImportPath":"q","Output":"q.go:1: no\n"}` + "\n" +
			`{"Action":"build-fail","ImportPath":"q"}`, false, "q.go:1: no"},
		"what go says beside the events is kept": {"go: no such flag\n" + pass, true, "go: no such flag"},
		"nothing ran":                            {"", false, "0 passed"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := run(strings.NewReader(tc.in), &out)
			if (err == nil) != tc.ok || !strings.Contains(out.String(), tc.want) {
				t.Errorf("error %v, want ok %v; output %q, want %q in it", err, tc.ok, out.String(), tc.want)
			}
		})
	}
}
