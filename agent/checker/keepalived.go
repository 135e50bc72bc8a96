//go:build linux

package checker

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/agent/command"
	format "github.com/lvsform/lvsform/formats/keepalived"
)

// keepalived has one file for each part, and one line in its own configuration
// that includes them all.
type keepalived struct{ Parts }

const (
	keepalivedFile = "etc/keepalived/keepalived.conf"
	keepalivedDir  = "etc/keepalived/lvsform"
	include        = "include /" + keepalivedDir + "/*.conf"
)

func (k keepalived) main() string                { return k.path(keepalivedFile) }
func (k keepalived) dir() string                 { return k.path(keepalivedDir) }
func (k keepalived) part(topology string) string { return filepath.Join(k.dir(), topology+".conf") }

// includes tells whether a main file has the line, wherever.
func includes(text string) bool { return includeAt(text) >= 0 }

// includeAt is where the line begins.
func includeAt(text string) int {
	at := 0
	for line := range strings.Lines(text) {
		if slices.Equal(strings.Fields(line), strings.Fields(include)) {
			return at
		}
		at += len(line)
	}
	return -1
}

// read returns the parts that keepalived reads: none without the line.
func (k keepalived) read() (map[string]string, error) {
	parts, err := k.parts()
	if err != nil || len(parts) == 0 {
		return nil, err
	}
	main, err := k.readMain()
	if err != nil || !includes(main.text) {
		return nil, err
	}
	return parts, nil
}

// readMain reads the main file. Somebody's link to it is followed: it is theirs.
func (k keepalived) readMain() (file, error) {
	path, err := filepath.EvalSymlinks(k.main())
	if err != nil {
		return file{}, ignoreAbsent(err)
	}
	return read(path)
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (k keepalived) parts() (map[string]string, error) {
	info, err := os.Lstat(k.dir())
	if err != nil {
		return nil, ignoreAbsent(err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is no directory: remove it", k.dir())
	}
	if err := owned(k.dir(), info); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(k.dir())
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, e := range entries {
		topology, ok := strings.CutSuffix(e.Name(), ".conf")
		if !ok || !safe(topology) {
			continue
		}
		f, err := read(filepath.Join(k.dir(), e.Name()))
		if err != nil {
			return nil, err
		}
		out[topology] = f.text
	}
	return out, nil
}

func (k keepalived) put(topology string, text, rest *string) error {
	main, err := k.readMain()
	if err != nil {
		return err
	}
	old := main
	if rest != nil {
		if main, err = rewritten(k, main, *rest); err != nil {
			return err
		}
	}
	if text == nil {
		if rest != nil {
			if err := k.test(old, main, topology, nil); err != nil {
				return err
			}
			if err := replace(k.main(), main); err != nil || topology == "" {
				return err
			}
		}
		return k.drop(topology)
	}
	if !includes(main.text) {
		if to, err := os.Readlink(k.main()); err == nil {
			return fmt.Errorf("%s is a link to %s, whose owner has to add this line there: %s", k.main(), to, include)
		}
	}
	made := !exists(k.dir())
	if err := os.MkdirAll(k.dir(), 0o700); err != nil {
		return err
	}
	part := file{text: *text, mode: 0o600}
	if err := k.test(old, main, topology, text); err != nil {
		if made {
			_ = os.Remove(k.dir())
		}
		return err
	}
	if rest != nil { // rather twice for a moment than not at all
		if err := replace(k.part(topology), part); err != nil {
			return err
		}
		return replace(k.main(), k.included(main))
	}
	// A line that includes nothing says nothing; a part without it would be one
	// that nobody reads.
	if !includes(main.text) {
		if err := replace(k.main(), k.included(main)); err != nil {
			return err
		}
	}
	return replace(k.part(topology), part)
}

// included has the line at the end of the main file.
func (k keepalived) included(main file) file {
	if includes(main.text) {
		return main
	}
	n := noteOn(main)
	if n.ended {
		main.text += "\n"
	}
	main.text += n.String() + include + "\n"
	if !main.there {
		main.mode = 0o644
	}
	return main
}

// drop removes a part, and with the last one all that lvsform made.
func (k keepalived) drop(topology string) error {
	if err := remove(k.part(topology)); err != nil {
		return err
	}
	left, err := k.parts()
	if err != nil || len(left) > 0 {
		return err
	}
	_ = os.Remove(k.dir()) // unless somebody keeps something there
	main, err := k.readMain()
	if err != nil {
		return err
	}
	at := includeAt(main.text)
	if at < 0 {
		return nil
	}
	before, after := main.text[:at], main.text[at:]
	start := strings.LastIndex(strings.TrimSuffix(before, "\n"), "\n") + 1
	n, ours := parseNote(before[start:])
	if !ours {
		return nil // somebody has written the line by hand
	}
	_, after, _ = strings.Cut(after, "\n")
	return n.restore(k.main(), main, before[:start], after)
}

// test has keepalived read the whole configuration with the part, beside the
// one in use. It complains of things that it has put up with before, too: those
// of the configuration in use are no reason to refuse.
func (k keepalived) test(was, main file, topology string, text *string) error {
	before, err := k.parts()
	if err != nil {
		return err
	}
	after := map[string]string{}
	maps.Copy(after, before)
	delete(after, topology)
	part := ""
	if text != nil {
		part = *text
		after[topology] = part
	}
	complaints, err := k.complaints(main, after)
	if err != nil || len(complaints) == 0 {
		return err
	}
	old, err := k.complaints(was, before)
	if err != nil {
		return err
	}
	complaints = slices.DeleteFunc(complaints, func(c string) bool { return slices.Contains(old, c) })
	if len(complaints) == 0 {
		return nil
	}
	return refused(Keepalived, complaints, k.part(topology), part)
}

// complaints are what keepalived says of a main file with parts, staged beside
// those in use, as paths in them may be relative.
func (k keepalived) complaints(main file, parts map[string]string) ([]string, error) {
	all := filepath.Join(k.dir(), ".*.conf"+stagedEnd)
	left, _ := filepath.Glob(all) // of an earlier crash
	for _, temporary := range left {
		if err := os.Remove(temporary); err != nil {
			return nil, err
		}
	}
	for topology, text := range parts {
		temporary, err := stage(k.part(topology), file{text: format.ForTest(text), mode: 0o600})
		if err != nil {
			return nil, err
		}
		defer os.Remove(temporary) //nolint:errcheck // the next one does it
	}
	line := "\n"
	if len(parts) > 0 {
		line = "include " + all + "\n"
	}
	if at := includeAt(main.text); at >= 0 {
		_, after, _ := strings.Cut(main.text[at:], "\n")
		main.text = main.text[:at] + line + after // in one line: they are counted
	} else {
		main.text += "\n" + line
	}
	main.text, main.mode = format.ForTest(main.text), 0o600
	temporary, err := stage(k.main(), main)
	if err != nil {
		return nil, err
	}
	defer os.Remove(temporary) //nolint:errcheck // the next one does it
	out, err := k.run(Keepalived, "-t", "-f", temporary)
	if err != nil || out.Code == 0 {
		return nil, err
	}
	return complaintsIn(out), nil
}

// refusedByTest is what keepalived -t ends with when it complains of anything.
const refusedByTest = 5

// complaintsIn are what keepalived complains of. Its exit status alone does not
// tell: one of a hundred errors hides behind a script that anybody can write to.
func complaintsIn(out command.Output) (complaints []string) {
	legal := false
	for line := range strings.Lines(out.Stderr + "\n" + out.Stdout) {
		switch line = unstaged(strings.TrimSpace(line)); {
		case weightless(line):
			legal = true
		case line != "" && !slices.Contains(complaints, line):
			complaints = append(complaints, line)
		}
	}
	if len(complaints) == 0 && !(legal && out.Code == refusedByTest) {
		return []string{fmt.Sprintf("keepalived -t ended with %d", out.Code)}
	}
	return complaints
}

// weightless tells whether a line says that no real server of a service has a
// weight, which is how the last one is drained.
func weightless(line string) bool {
	return strings.Contains(line, " exceeds total weight of real servers 0, reducing quorum to 0") ||
		strings.Contains(line, ": hysteresis 0 >= quorum 0; setting hysteresis to ")
}

// unstaged puts the names of files for those that they have while they are
// tested: DIR/.NAME.staged-by-lvsform.
func unstaged(line string) string {
	for at := strings.Index(line, stagedEnd); at >= 0; at = strings.Index(line, stagedEnd) {
		line = line[:at] + line[at+len(stagedEnd):]
		if dot := strings.LastIndex(line[:at], "/."); dot >= 0 {
			line = line[:dot+1] + line[dot+2:]
		}
	}
	return line
}
