package sshtest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
)

// Host answers commands as a host does that has no agent at first: the agent
// is not found until it was placed; then Serve speaks for it.
type Host struct {
	Serve   Serve
	Machine string // as uname -m; empty: x86_64
	NoGzip  bool
	// Placed holds the agents' sums that are on the host. It may be filled
	// before the first command.
	Placed map[string]bool
	// Sudo refuses commands without "sudo -n" in front.
	Sudo bool
	// SudoSays is what sudo prints when it refuses; empty: it allows.
	SudoSays string
	// PlaceError is the placing script's answer in place of "need".
	PlaceError string
	// NoExec refuses to run the agent once it is placed.
	NoExec bool
	// Unmarked keeps no mark on the agent's directory: the placing script has to
	// run the agent.
	Unmarked bool

	mu      sync.Mutex
	uploads int
}

var serveLine = regexp.MustCompile(`^(sudo -n sh -c ')?cd /usr/local/libexec/lvsform [^']* exec \./agent-([0-9a-f]{64}) serve; exit 126'?$`)

// Uploads is how many agents were placed by an upload.
func (h *Host) Uploads() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.uploads
}

// Exec is a Config's Exec.
func (h *Host) Exec(command string, stdin io.Reader, stdout, stderr io.Writer) int {
	m := serveLine.FindStringSubmatch(command)
	command, sudo := strings.CutPrefix(command, "env LC_ALL=C sudo -n ")
	sudo = sudo || m != nil && m[1] != ""
	if sudo && h.SudoSays != "" {
		fmt.Fprintln(stderr, h.SudoSays)
		return 1
	}
	if m != nil {
		return h.serve(m[2], sudo, stdin, stdout, stderr)
	}
	if strings.HasPrefix(command, "sh -c '") && strings.Contains(command, "lvsform-place") {
		return h.place(sudo, stdin, stdout, stderr)
	}
	fmt.Fprintf(stderr, "sh: 1: %q: not found\n", command)
	return 127
}

func (h *Host) serve(sum string, sudo bool, stdin io.Reader, stdout, stderr io.Writer) int {
	h.mu.Lock()
	placed := h.Placed[sum]
	h.mu.Unlock()
	switch {
	case h.Sudo && !sudo:
		fmt.Fprintln(stderr, "sh: 1: Permission denied")
		return 126
	case h.Unmarked:
		return 126
	case !placed:
		fmt.Fprintln(stderr, "sh: 1: not found")
		return 127
	case h.NoExec:
		fmt.Fprintln(stderr, "sh: 1: Permission denied")
		return 126
	}
	return h.Serve(stdin, stdout, stderr)
}

// place does what the placing script does.
func (h *Host) place(sudo bool, stdin io.Reader, stdout, stderr io.Writer) int {
	machine, mode := h.Machine, "gzip"
	if machine == "" {
		machine = "x86_64"
	}
	if h.NoGzip {
		mode = "plain"
	}
	fmt.Fprintf(stdout, "lvsform-place %s %s\n", machine, mode)
	in := bufio.NewReader(stdin)
	line, err := in.ReadString('\n')
	if err != nil {
		return 0
	}
	sum, mode, _ := strings.Cut(strings.TrimSpace(line), " ")
	h.mu.Lock()
	placed := h.Placed[sum]
	h.mu.Unlock()
	switch {
	case h.Sudo && !sudo:
		fmt.Fprintln(stdout, "error not root: uid 1000")
		return 0
	case h.PlaceError != "":
		fmt.Fprintln(stdout, "error "+h.PlaceError)
		return 0
	case placed && h.NoExec:
		fmt.Fprintln(stdout, "present")
		return 126
	case placed:
		fmt.Fprintln(stdout, "present")
		return h.Serve(in, stdout, stderr)
	}
	fmt.Fprintln(stdout, "need")
	got, err := readSum(in, mode)
	if err != nil || got != sum {
		fmt.Fprintf(stdout, "error sum: %s\n", got)
		return 0
	}
	h.mu.Lock()
	if h.Placed == nil {
		h.Placed = map[string]bool{}
	}
	h.Placed[sum] = true
	h.uploads++
	h.mu.Unlock()
	fmt.Fprintln(stdout, "placed")
	return 0
}

func readSum(in io.Reader, mode string) (string, error) {
	file, err := io.ReadAll(in)
	if err != nil {
		return "", err
	}
	if mode == "gzip" {
		r, err := gzip.NewReader(bytes.NewReader(file))
		if err != nil {
			return "", err
		}
		if file, err = io.ReadAll(r); err != nil {
			return "", err
		}
	}
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:]), nil
}
