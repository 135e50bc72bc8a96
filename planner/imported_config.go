package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// Left is something in a program's file that no configuration can say.
type Left struct {
	Line    int // from 1
	Keyword string
	Why     string
}

// ImportedFile is what a program's file says as a topology.
type ImportedFile struct {
	Topology *topology.Topology
	Lines    map[string]int // where each resource comes from, by its path
	Left     []Left         // by line
}

// ImportedConfig is a topology that declares what a file of keepalived or
// ldirectord says: its program does the same with what is rendered of it, but
// for what is listed. The error is for a file that cannot be read.
func ImportedConfig(director *topology.Host, program, text string) (*ImportedFile, error) {
	out := &ImportedFile{Lines: map[string]int{}}
	var err error
	if program == programLdirectord {
		err = out.ldirectord(director, text)
	} else {
		err = out.keepalived(director, text)
	}
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(out.Left, func(a, b Left) int { return cmp.Compare(a.Line, b.Line) })
	out.Left = slices.Compact(out.Left) // a group of virtual servers says it for each of them
	return out, nil
}

func (f *ImportedFile) left(line int, keyword, format string, args ...any) {
	f.Left = append(f.Left, Left{Line: line, Keyword: keyword, Why: fmt.Sprintf(format, args...)})
}

// objectsOf are the services and the destinations of a program's file.
func objectsOf(services []served) state.Objects {
	var out state.Objects
	for _, v := range services {
		out = append(out, v.Service)
		for _, r := range v.servers {
			out = append(out, r.Destination)
		}
	}
	out.Sort()
	return out
}

// pathOf is where the importer has put a service.
func (im *importer) pathOf(b *topology.VirtualService) string {
	for _, r := range im.t.Resources {
		if r.Body == topology.Body(b) {
			return r.Path
		}
	}
	return ""
}

// mostLost is how many lines of an object are listed.
const mostLost = 20

// compare lists what an object of the file says and the same object of the
// configuration does not, by the lines that each is rendered with.
func (f *ImportedFile) compare(line int, keyword, have, declared string) {
	lost, instead := lacking(have, declared), lacking(declared, have)
	if len(lost) == 0 && len(instead) == 0 {
		return
	}
	quote := func(lines []string) string {
		shown := lines[:min(len(lines), mostLost)]
		text := "“" + strings.Join(shown, "”, “") + "”"
		if more := len(lines) - len(shown); more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		return text
	}
	switch {
	case len(lost) == 0:
		f.left(line, keyword, "is not carried over quite as it is: %s comes to it", quote(instead))
	case len(instead) == 0:
		f.left(line, keyword, "is carried over without %s: no configuration says that", quote(lost))
	default:
		f.left(line, keyword, "is carried over with %s in the place of %s, which no configuration says", quote(instead), quote(lost))
	}
}

// lacking are the lines of one text that another has not, as often as that is,
// with the head of the real server that they are of.
func lacking(text, other string) []string {
	count := map[string]int{}
	for _, l := range headed(other) {
		count[l]++
	}
	var out []string
	for _, l := range headed(text) {
		if count[l]--; count[l] < 0 {
			out = append(out, l)
		}
	}
	return out
}

func headed(text string) []string {
	var out []string
	head := ""
	for line := range strings.Lines(text) {
		l := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(l, "real_server "):
			head = strings.TrimSuffix(l, " {") + ": "
			out = append(out, strings.TrimSuffix(head, ": "))
		case l == "" || l == "}" || strings.HasPrefix(l, "#"):
		case strings.HasPrefix(line, "        "):
			out = append(out, head+strings.TrimSuffix(l, " {"))
		default:
			out = append(out, strings.TrimSuffix(l, " {"))
		}
	}
	return out
}

// onlyThis is the settings' text with one service and nothing else.
func onlyThis(program string, v served) string {
	s := settings{program: program, services: []served{v}}
	text, err := s.render()
	if err != nil {
		return err.Error()
	}
	return Masked(state.Config{Program: program, Text: text})
}

// isIdentifier tells whether a text can be the name of a resource in an
// expression.
func isIdentifier(text string) bool {
	for i, r := range text {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || (r < '0' || r > '9') && r != '-' && r != '_') {
			return false
		}
	}
	return text != ""
}

// effective are settings with the program's own choices filled in.
func (s settings) effective() settings {
	if s.program == programLdirectord {
		return ldirectordOf(s.ldirectordConfig().Effective())
	}
	return keepalivedOf(s.keepalivedConfig().Effective())
}
