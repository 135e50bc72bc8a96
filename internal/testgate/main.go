// Command testgate reads go test -json from its input and fails on a skip.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "testgate:", err)
		os.Exit(1)
	}
}

// event is a line of go test -json; see cmd/test2json.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build output
	Test       string
	Output     string
	Elapsed    float64 // seconds
}

// slow is the length in seconds from which a passed test gets a line.
const slow = 5

// run prints one line for a package, the output of every test that failed or
// was skipped, and an error when there was one, or no test at all.
func run(r io.Reader, w io.Writer) error {
	g := gate{w: w, output: map[string][]string{}}
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			g.line(line)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n", g.passed, g.failed, g.skipped)
	if g.failed > 0 || g.skipped > 0 || g.passed == 0 {
		return fmt.Errorf("not every test ran and passed")
	}
	return nil
}

type gate struct {
	w                       io.Writer
	output                  map[string][]string // by package and test, until it ends
	passed, failed, skipped int
}

func (g *gate) line(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil {
		fmt.Fprint(g.w, line) // go itself: not a test's event
		return
	}
	id := strings.TrimSpace(e.Package + e.ImportPath + " " + e.Test)
	switch e.Action {
	case "output", "build-output":
		g.output[id] = append(g.output[id], e.Output)
	case "fail", "build-fail":
		g.failed++
		g.show(e.Action, id)
	case "skip":
		if e.Test != "" { // else a package without test files
			g.skipped++
			g.show(e.Action, id)
		}
	case "pass":
		if e.Test != "" {
			g.passed++
		}
		if e.Test == "" || e.Elapsed >= slow {
			fmt.Fprintf(g.w, "ok\t%s\t%.1fs\n", id, e.Elapsed)
		}
		delete(g.output, id)
	}
}

func (g *gate) show(action, id string) {
	fmt.Fprint(g.w, strings.Join(g.output[id], ""))
	fmt.Fprintf(g.w, "%s\t%s\n", strings.ToUpper(action), id)
	delete(g.output, id)
}
