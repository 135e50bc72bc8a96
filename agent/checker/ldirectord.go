//go:build linux

package checker

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/lvsform/lvsform/agent/command"
)

// ldirectord has one file, which cannot include others: a part is a section of
// it between two comments.
type ldirectord struct{ Parts }

const (
	ldirectordFile = "etc/ha.d/ldirectord.cf"
	beginSection   = "# lvsform begins: "
	endSection     = "# lvsform ends: "
)

func (l ldirectord) main() string { return l.path(ldirectordFile) }

// section is where a part is in the text, with its two comments.
type section struct {
	topology   string
	begin, end int
	text       string
}

// sections finds the parts. Comments that do not pair are somebody's damage.
func sections(text string) (out []section, err error) {
	at := 0
	var open *section
	start := 0
	for line := range strings.Lines(text) {
		whole := strings.TrimRight(line, "\n")
		if topology, ok := strings.CutPrefix(whole, beginSection); ok && safe(topology) {
			if open != nil {
				return nil, damaged(open.topology)
			}
			open, start = &section{topology: topology, begin: at}, at+len(line)
		} else if topology, ok := strings.CutPrefix(whole, endSection); ok && safe(topology) {
			if open == nil || open.topology != topology {
				return nil, damaged(topology)
			}
			open.text, open.end = text[start:at], at+len(line)
			out, open = append(out, *open), nil
		}
		at += len(line)
	}
	if open != nil {
		return nil, damaged(open.topology)
	}
	return out, nil
}

func damaged(topology string) error {
	return fmt.Errorf("/%s: the section of %q has lost its begin or its end: put the line back (%q, %q), or remove the section",
		ldirectordFile, topology, beginSection+topology, endSection+topology)
}

// readMain reads the file. Somebody's link to it is followed.
func (l ldirectord) readMain() (file, error) {
	path, err := filepath.EvalSymlinks(l.main())
	if err != nil {
		return file{}, ignoreAbsent(err)
	}
	return read(path)
}

func (l ldirectord) read() (map[string]string, error) {
	f, err := l.readMain()
	if err != nil {
		return nil, err
	}
	found, err := sections(f.text)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, s := range found {
		if _, twice := out[s.topology]; twice {
			return nil, fmt.Errorf("/%s has two sections of %q: remove one", ldirectordFile, s.topology)
		}
		out[s.topology] = s.text
	}
	return out, nil
}

func (l ldirectord) put(topology string, text, rest *string) error {
	f, err := read(l.main()) // a link is refused: the section would go to its place
	if err != nil {
		return err
	}
	if rest != nil {
		if f, err = rewritten(l, f, *rest); err != nil {
			return err
		}
	}
	found, err := sections(f.text)
	if err != nil {
		return err
	}
	if text == nil && rest != nil && place(found, topology) < 0 {
		if err := l.test(f); err != nil {
			return err
		}
		return replace(l.main(), f)
	}
	if text == nil {
		return l.drop(f, found, topology)
	}
	if strings.Contains("\n"+*text, "\n"+beginSection) || strings.Contains("\n"+*text, "\n"+endSection) {
		return fmt.Errorf("the text has a comment that begins or ends a section")
	}
	block := beginSection + topology + "\n" + *text + endSection + topology + "\n"
	changed := f
	switch at := place(found, topology); {
	case at >= 0:
		changed.text = f.text[:found[at].begin] + block + f.text[found[at].end:]
	case len(found) > 0:
		last := found[len(found)-1].end
		changed.text = f.text[:last] + block + f.text[last:]
	default:
		n := noteOn(f)
		if n.ended {
			changed.text += "\n"
		}
		changed.text += n.String() + block
	}
	changed.mode = 0o600 // checks may have passwords
	if err := os.MkdirAll(filepath.Dir(l.main()), 0o755); err != nil {
		return err
	}
	if err := l.test(changed); err != nil {
		return err
	}
	return replace(l.main(), changed)
}

func place(found []section, topology string) int {
	for i, s := range found {
		if s.topology == topology {
			return i
		}
	}
	return -1
}

// drop removes a section, and the note with the last one.
func (l ldirectord) drop(f file, found []section, topology string) error {
	at := place(found, topology)
	if at < 0 {
		return nil
	}
	before, after := f.text[:found[at].begin], f.text[found[at].end:]
	if err := l.testLeft(f, before+after); err != nil {
		return err
	}
	if len(found) > 1 {
		f.text = before + after
		return replace(l.main(), f)
	}
	start := strings.LastIndex(strings.TrimSuffix(before, "\n"), "\n") + 1
	n, ok := parseNote(before[start:])
	if !ok { // somebody has removed it
		f.text = before + after
		return replace(l.main(), f)
	}
	return n.restore(l.main(), f, before[:start], after)
}

// testLeft tests what is left without a section where it is about to be
// reloaded: `ldirectord reload`, which init systems run, loses track of the
// process where it cannot read the file.
func (l ldirectord) testLeft(f file, text string) error {
	running, err := l.Services.Running(Ldirectord)
	if err != nil || !running {
		return err
	}
	f.text = text
	return l.test(f)
}

// What `ldirectord -d FILE status` ends with: it reads the configuration first,
// and finds that nothing runs with a file of that name.
const (
	statusRuns    = 0
	statusStopped = 3
)

// test has ldirectord read a copy of the configuration, whose name no process
// goes by. It stops at the first error.
func (l ldirectord) test(f file) error {
	temporary, err := stage(l.main(), f)
	if err != nil {
		return err
	}
	defer os.Remove(temporary) //nolint:errcheck // the next one does it
	out, err := l.run(Ldirectord, "-d", temporary, "status")
	if err != nil || out.Code == statusRuns || out.Code == statusStopped {
		return err
	}
	said := unstaged(complaintOf(out))
	if said == "" {
		said = fmt.Sprintf("ldirectord ended with %d", out.Code)
	}
	return refused(Ldirectord, []string{said}, l.main(), f.text)
}

// complaintOf is what ldirectord -d says of an error, `Error [PID] reading
// file`, out of the diary that it keeps before and after.
func complaintOf(out command.Output) string {
	_, complaint, found := strings.Cut("\n"+out.Stderr, "\nError [")
	if !found {
		return out.Said()
	}
	_, complaint, _ = strings.Cut(complaint, "] ")
	complaint, _, _ = strings.Cut(complaint, "\nDEBUG")
	return strings.Join(strings.Fields(complaint), " ")
}
