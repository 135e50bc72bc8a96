//go:build linux

package checker

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/lvsform/lvsform/agent/command"
)

// run runs a program that only looks at a configuration.
func (p Parts) run(program string, args ...string) (command.Output, error) {
	path := p.System.Find(program)
	if path == "" {
		return command.Output{}, ErrMissing
	}
	out, err := p.System.Run(command.Command{Path: path, Args: args, Timeout: testTime})
	if err != nil {
		err = fmt.Errorf("test the configuration: %w", err)
	}
	return out, err
}

// mostComplaints is how much a refusal quotes.
const mostComplaints = 10

// refused is the error for a configuration that its program does not take, in
// the program's own words and with the lines of the part that it names.
func refused(program string, complaints []string, path, text string) error {
	lines := strings.Split(text, "\n")
	said := make([]string, 0, mostComplaints)
	for _, c := range complaints[:min(len(complaints), mostComplaints)] {
		if strings.Contains(c, path) {
			if n := lineOf(c); n > 0 && n <= len(lines) && !secret(lines[n-1]) {
				c += fmt.Sprintf(" (line %d: %s)", n, strings.TrimSpace(lines[n-1]))
			}
		}
		said = append(said, c)
	}
	if more := len(complaints) - len(said); more > 0 {
		said = append(said, fmt.Sprintf("%d more", more))
	}
	return errors.New(program + " refuses the configuration, and the one in use stays: " + strings.Join(said, "; "))
}

// lineOf is the number after the word line.
func lineOf(complaint string) int {
	words := strings.Fields(strings.ToLower(complaint))
	for i, w := range words {
		if w == "line" && i+1 < len(words) {
			n, err := strconv.Atoi(strings.TrimRight(words[i+1], ":,.)"))
			if err == nil {
				return n
			}
		}
	}
	return 0
}

// secret tells whether a line may hold a password.
func secret(line string) bool {
	word, _, _ := strings.Cut(strings.TrimSpace(strings.ToLower(line)), "=")
	for _, s := range []string{"pass", "secret", "auth", "key", "header", "request"} {
		if strings.Contains(word, s) {
			return true
		}
	}
	return false
}
