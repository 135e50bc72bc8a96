package remote

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// classes sorts hosts by the Host lines of ssh_config that match them. Two
// hosts of one class get the same answer from ssh -G but for the host name.
type classes struct {
	hosts []hostLine
	// names are the values of HostName: a host of such a name is no member of
	// any class, because its answer does not tell a set name from an unset one.
	names []string
}

type hostLine []string // the patterns of one Host line

// of names a host's class; the names of hosts that share it are equal.
func (c *classes) of(host string) string {
	// Whether ssh matches patterns in lower case depends on its version.
	if strings.ToLower(host) != host || slices.Contains(c.names, host) {
		return "host " + host
	}
	bits := make([]byte, len(c.hosts))
	for i, patterns := range c.hosts {
		bits[i] = '0'
		if matchPatterns(patterns, host) {
			bits[i] = '1'
		}
	}
	return "class " + string(bits)
}

// matchPatterns follows ssh_config(5), PATTERNS: one must match, and none that
// is negated.
func matchPatterns(patterns []string, name string) bool {
	matched := false
	for _, p := range patterns {
		p, negated := strings.CutPrefix(p, "!")
		if !matchWildcard(p, name) {
			continue
		}
		if negated {
			return false
		}
		matched = true
	}
	return matched
}

// matchWildcard matches * and ? without a regard for dots. It goes back to the
// last star only: the work is bounded by the product of the lengths.
func matchWildcard(pattern, name string) bool {
	p, n, star, mark := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star >= 0:
			mark++
			p, n = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// learnClasses reads the files that ssh -v names in its log. The error says
// what makes the answers differ in a way that Host lines do not show.
func learnClasses(log []byte) (*classes, error) {
	if !bytes.Contains(log, []byte("OpenSSH")) {
		return nil, errors.New("this ssh is not OpenSSH")
	}
	c := &classes{}
	lines := bufio.NewScanner(bytes.NewReader(log))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		_, path, ok := strings.Cut(lines.Text(), "Reading configuration data ")
		if !ok {
			continue
		}
		if err := c.readFile(strings.TrimRight(path, "\r")); err != nil {
			return nil, err
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *classes) readFile(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if err := c.readLine(lines.Text()); err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
	return lines.Err()
}

// perHost are the keywords whose value may hold tokens that stand for the host.
var perHost = []string{
	"hostname", "user", "port", "proxyjump", "proxycommand", "identityfile", "certificatefile", "identityagent",
	"userknownhostsfile", "globalknownhostsfile", "hostkeyalias", "revokedhostkeys", "knownhostscommand", "include",
}

func (c *classes) readLine(line string) error {
	keyword, value := splitKeyword(line)
	switch keyword {
	case "host":
		if strings.ContainsAny(value, `"'\#`) {
			return errors.New("a Host line is quoted")
		}
		c.hosts = append(c.hosts, strings.Fields(value))
	case "match":
		for _, word := range strings.Fields(strings.ToLower(value)) {
			if word != "all" && word != "final" && word != "canonical" {
				return errors.New("a Match looks at more than the host's name")
			}
		}
	case "canonicalizehostname":
		if !strings.EqualFold(value, "no") {
			return errors.New("the DNS is asked (CanonicalizeHostname)")
		}
	case "hostname":
		c.names = append(c.names, strings.ToLower(strings.Trim(value, `"`)))
	}
	if slices.Contains(perHost, keyword) && strings.Contains(value, "%") {
		return fmt.Errorf("%s holds a %% token", keyword)
	}
	return nil
}

// splitKeyword splits a line of ssh_config, which has "keyword value" or
// "keyword = value"; the keyword is returned in lower case.
func splitKeyword(line string) (keyword, value string) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return "", ""
	}
	end := strings.IndexAny(line, " \t=")
	if end < 0 {
		return strings.ToLower(strings.Trim(line, `"`)), ""
	}
	value = strings.TrimLeft(line[end:], " \t")
	value = strings.TrimPrefix(value, "=")
	return strings.ToLower(strings.Trim(line[:end], `"`)), strings.TrimSpace(value)
}
