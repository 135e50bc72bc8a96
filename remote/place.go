package remote

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/remote/agentbin"
)

// agentDir is where agents are on hosts; SELinux lets systemd execute there.
const agentDir = "/usr/local/libexec/lvsform"

// agentDirMode marks a directory of root's own: Linux ignores set-user-ID there,
// sticky matters only where others may write, and nobody but root can set them.
// The fifth digit has chmod clear an inherited set-group-ID.
const agentDirMode = "05700"

// serveScript runs the agent if nobody but root can have put it there: whoever
// can write to the directory, or to the one above, could plant a file of that
// name before the first contact. It looks at the directory that it is in, whatever
// its name leads to by then, and does so without ls: a program to start is a tenth
// of what a connection costs a host. Nor does it need an sh of ours; a login shell
// that cannot run it ends it otherwise, and placeScript is asked. What a cd of
// somebody's .bashrc prints does not come between.
const serveScript = `cd ` + agentDir + ` >/dev/null && [ -O . ] && [ -u . ] && [ -k . ] && exec ./agent-SUM serve; exit 126`

// serveCommand is the same for all hosts and requests.
func serveCommand(sum string, sudo bool) string {
	command := strings.Replace(serveScript, "SUM", sum, 1)
	if sudo {
		command = "sudo -n sh -c '" + command + "'"
	}
	return command
}

// placeScript places the agent, or runs it when it is there. It is constant:
// what varies comes on stdin, first a line "SHA256 gzip|plain", then the file.
// It answers in lines: "lvsform-place MACHINE gzip|plain", then one of
// "present" (the agent follows on the same stdin and stdout), "need" and after
// the file "placed", or "error FAULT: TEXT". It holds no single quote and no
// exclamation mark, and is one line, so that any login shell passes it on.
//
// The directory is root's alone, and marked if it can be, before a file is made in
// it, and what somebody else has put there goes; the file is made with O_EXCL
// (set -C), and gets its name, for good, when its sum is right.
const placeScript = `LC_ALL=C; PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH; export LC_ALL PATH; umask 077; ` +
	`d=` + agentDir + `; p=${d%/*}; ` +
	`die() { set -f; set -- $*; echo "error $*"; exit 0; }; ` +
	`own() { set -- $(ls -ldn "$1"); case $1 in d???????w*) return 1;; d*) [ "$3" = 0 ];; *) return 1;; esac; }; ` +
	`sum() { if command -v sha256sum >/dev/null; then set -- $(sha256sum <"$1"); else set -- $(openssl dgst -sha256 -r <"$1"); fi; h=$1; }; ` +
	`m=plain; if command -v gzip >/dev/null; then m=gzip; fi; ` +
	`echo "lvsform-place $(uname -m) $m"; read -r want m || exit 0; ` +
	`[ "$(id -u)" = 0 ] || die not root: uid "$(id -u)"; ` +
	`command -v sha256sum >/dev/null || command -v openssl >/dev/null || die tool: neither sha256sum nor openssl is there; ` +
	// A parent that is missing is made as any package would make it.
	`[ -d "$p" ] || e=$( { umask 022; mkdir -p "$p"; } 2>&1) || die place: "$e"; ` +
	`[ -d "$d" ] || e=$(mkdir -p "$d" 2>&1) || die place: "$e"; ` +
	`own "$p" || die unsafe: "$p"; own "$d" && cd "$d" && own . || die unsafe: "$d"; ` +
	`e=$(chmod ` + agentDirMode + ` . 2>&1) || e=$(chmod 700 . 2>&1) && e=; ` +
	`for f in ./agent-*; do if [ -h "$f" ]; then rm -f "$f"; elif [ -O "$f" ]; then :; else rm -f "$f"; fi; done 2>/dev/null; ` +
	`f=./agent-$want; if [ -f "$f" ] && [ -O "$f" ]; then sum "$f"; if [ "$h" = "$want" ]; then echo present; exec "$f" serve; fi; fi; ` +
	`[ -z "$e" ] || die place: "$e"; ` +
	`t=./.agent.$$; rm -f "$t"; trap "rm -f $t" EXIT; trap "exit 1" HUP INT TERM PIPE; echo need; set -C; ` +
	`if [ "$m" = gzip ]; then e=$( { gzip -dc >"$t"; } 2>&1); else e=$( { cat >"$t"; } 2>&1); fi || die place: "$e"; ` +
	`sum "$t"; [ "$h" = "$want" ] || die sum: "$h"; ` +
	`e=$( { chmod 700 "$t" && { sync "$t" || :; } && mv -f "$t" "$f" && { sync . || :; }; } 2>&1) || die place: "$e"; echo placed`

func placeCommand(sudo bool) string {
	command := "sh -c '" + placeScript + "'"
	if sudo {
		// The environment decides the language of sudo's refusals.
		command = "env LC_ALL=C sudo -n " + command
	}
	return command
}

// goArch names GOARCH by uname -m.
func goArch(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	case "i386", "i486", "i586", "i686":
		return "386"
	case "armv6l", "armv7l", "armv8l":
		return "arm"
	case "loongarch64":
		return "loong64"
	}
	return machine // riscv64, s390x, ppc64le: the names are the same
}

// maxLine bounds a line of the placing script's answer, in bytes.
const maxLine = 1024

// place puts the agent on the host, and returns it running.
func (s *Session) place(g *guard) (*process, error) {
	p, err := startProcess(s.link, placeCommand(s.target.Sudo))
	if err != nil {
		return nil, err
	}
	machine, mode, err := s.readMachine(p)
	if err != nil {
		return nil, err
	}
	g.progress()
	agent, err := s.dialer.agents.Get(goArch(machine))
	if err != nil {
		if errors.Is(err, agentbin.ErrMissing) {
			err = &AgentError{Fault: FaultArch, Detail: fmt.Sprintf("the host is a %q: %s", clean(machine), err), Err: err}
		}
		return nil, err
	}
	s.agent = agent
	s.dialer.archs.set(s.target, agent.Arch)
	if _, err := fmt.Fprintf(p.channel, "%s %s\n", agent.SHA256, mode); err != nil {
		return nil, err
	}
	word, rest, err := s.readAnswer(p)
	switch {
	case err != nil:
		return nil, err
	case word == "present":
		return p, nil
	case word != "need":
		return nil, placeError(word, rest)
	}
	if err := s.upload(g, p, mode); err != nil {
		return nil, err
	}
	s.dialer.log.Info("the agent was placed", "host", s.target.Name, "arch", agent.Arch)
	return startProcess(s.link, serveCommand(agent.SHA256, s.target.Sudo))
}

// readMachine reads the script's first line.
func (s *Session) readMachine(p *process) (machine, mode string, err error) {
	word, rest, err := s.readAnswer(p)
	if err != nil {
		return "", "", err
	}
	machine, mode, _ = strings.Cut(rest, " ")
	// The machine becomes part of a file's name here.
	odd := strings.Trim(machine, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != ""
	if word != "lvsform-place" || odd || mode != "gzip" && mode != "plain" {
		return "", "", &AgentError{
			Fault: FaultGarbage,
			Detail: fmt.Sprintf("the host printed %q before the script that places the agent spoke: the login shell's startup "+
				"files must print nothing in a session without a terminal", clean(word+" "+rest)),
		}
	}
	return machine, mode, nil
}

// upload sends the agent's file.
func (s *Session) upload(g *guard, p *process, mode string) error {
	content := s.agent.Plain
	if mode == "gzip" {
		content = s.agent.Gzip
	}
	file, err := content()
	if err != nil {
		return fmt.Errorf("agent binary: %w", err)
	}
	for chunk := range slices.Chunk(file, 32<<10) {
		if _, err := p.channel.Write(chunk); err != nil {
			break // the script's answer says why it stopped reading
		}
		g.progress()
	}
	_ = p.channel.CloseWrite()
	word, rest, err := s.readAnswer(p)
	if err == nil && word != "placed" {
		err = placeError(word, rest)
	}
	p.channel.Close()
	return err
}

// readAnswer reads a line of the script: a word, and the rest.
func (s *Session) readAnswer(p *process) (word, rest string, err error) {
	var line bytes.Buffer
	for line.Len() < maxLine {
		c, err := p.out.ReadByte()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				return "", "", err
			}
			return "", "", s.scriptEnded(p)
		}
		if c == '\n' {
			break
		}
		line.WriteByte(c)
	}
	word, rest, _ = strings.Cut(line.String(), " ")
	return word, rest, nil
}

// scriptEnded says why the script gave no answer.
func (s *Session) scriptEnded(p *process) error {
	exit := p.ended()
	if !exit.known {
		return s.lostCause()
	}
	e := &AgentError{
		Fault:  FaultPlace,
		Detail: "the agent cannot be placed: the shell ended " + exit.String(),
		Stderr: p.errs.String(),
	}
	if !s.target.Sudo || explainSudo(e) {
		return e
	}
	if exit.code == 127 {
		e.Fault, e.Detail = FaultSudo, "the agent cannot be placed: there is no sudo on the host; log in as root"
	} else if exit.code == 1 {
		e.Fault, e.Detail = FaultSudo, "the agent cannot be placed: sudo refuses"
	}
	return e
}

// placeError reads the script's "error FAULT: TEXT".
func placeError(word, rest string) error {
	kind, text, _ := strings.Cut(rest, ":")
	if word != "error" {
		kind, text = "", word+" "+rest
	}
	text = clean(text)
	switch kind {
	case "not root":
		return faultf(FaultNotRoot, "the login is not root (%s): log in as root, or set sudo = true for the host", text)
	case "unsafe":
		return faultf(FaultUnsafeDir, "%s must be a directory that root owns and nobody else may write: see ls -ld %s", text, text)
	case "tool":
		return faultf(FaultNoTool, "the agent's file cannot be checked on the host: %s; install coreutils", text)
	case "sum":
		return faultf(FaultChecksum, "the agent's file arrived damaged (SHA-256 %s): try again", text)
	}
	switch {
	case strings.Contains(text, "No space left"), strings.Contains(text, "quota"):
		return faultf(FaultNoSpace, "the agent cannot be placed in %s, there is no space: %s", agentDir, text)
	case strings.Contains(text, "Read-only"):
		return faultf(FaultReadOnly, "the agent cannot be placed in %s, the file system is read-only: %s", agentDir, text)
	}
	return faultf(FaultPlace, "the agent cannot be placed in %s: %s", agentDir, text)
}
