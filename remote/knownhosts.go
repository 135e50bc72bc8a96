package remote

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// The known_hosts files are read here and not by x/crypto/ssh/knownhosts,
// which gives up on a file for one line that it does not understand (OpenSSH
// skips the line), names no line for a revoked certificate, and decodes every
// key of every host.

// marker is the first field of a known_hosts line, when it begins with @.
type marker string

const (
	markNone      marker = ""
	markAuthority marker = "@cert-authority"
	markRevoked   marker = "@revoked"
)

// knownLine is one line of a known_hosts file, its key not decoded yet.
type knownLine struct {
	mark   marker
	names  []string // patterns; nil when hashed
	salt   []byte   // of a hashed name
	hash   []byte
	key    string // base64
	source string // file:line
}

// knownKey is a key that a known_hosts file has for a host.
type knownKey struct {
	mark   marker
	key    ssh.PublicKey
	source string
}

// knownFiles reads each known_hosts file once.
type knownFiles struct {
	mu    sync.Mutex
	files map[string][]knownLine
}

func newKnownFiles() *knownFiles { return &knownFiles{files: map[string][]knownLine{}} }

func (k *knownFiles) load(path string) ([]knownLine, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if lines, ok := k.files[path]; ok {
		return lines, nil
	}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("known_hosts: %w", err)
	}
	lines := parseKnownHosts(path, text)
	k.files[path] = lines
	return lines, nil
}

// parseKnownHosts reads the form that sshd(8), SSH_KNOWN_HOSTS FILE FORMAT,
// describes. As in OpenSSH a line that is none is skipped.
func parseKnownHosts(path string, text []byte) []knownLine {
	var known []knownLine
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if l, ok := parseKnownLine(lines.Text()); ok {
			l.source = path + ":" + strconv.Itoa(n)
			known = append(known, l)
		}
	}
	return known
}

func parseKnownLine(text string) (knownLine, bool) {
	fields := strings.Fields(text)
	if len(fields) == 0 || fields[0][0] == '#' {
		return knownLine{}, false
	}
	var l knownLine
	if fields[0][0] == '@' {
		l.mark = marker(fields[0])
		if l.mark != markAuthority && l.mark != markRevoked {
			return knownLine{}, false
		}
		fields = fields[1:]
	}
	if len(fields) < 3 {
		return knownLine{}, false
	}
	l.key = fields[2]
	hashed, ok := strings.CutPrefix(fields[0], "|1|")
	if !ok {
		l.names = strings.Split(strings.ToLower(fields[0]), ",")
		return l, true
	}
	salt, hash, _ := strings.Cut(hashed, "|")
	var err1, err2 error
	l.salt, err1 = base64.StdEncoding.DecodeString(salt)
	l.hash, err2 = base64.StdEncoding.DecodeString(hash)
	return l, err1 == nil && err2 == nil
}

func (l *knownLine) matches(name string) bool {
	if l.names != nil {
		return matchPatterns(l.names, name)
	}
	mac := hmac.New(sha1.New, l.salt)
	mac.Write([]byte(name))
	return hmac.Equal(mac.Sum(nil), l.hash)
}

// lookup returns the keys that a file has for a name, in the file's order. Of
// a key that cannot be decoded (a type that is not supported) there is nothing
// to compare: it is left out.
func (k *knownFiles) lookup(path, name string) ([]knownKey, error) {
	lines, err := k.load(path)
	if err != nil {
		return nil, err
	}
	var keys []knownKey
	for i := range lines {
		if !lines[i].matches(name) {
			continue
		}
		blob, err := base64.StdEncoding.DecodeString(lines[i].key)
		if err != nil {
			continue
		}
		key, err := ssh.ParsePublicKey(blob)
		if err != nil {
			continue
		}
		keys = append(keys, knownKey{mark: lines[i].mark, key: key, source: lines[i].source})
	}
	return keys, nil
}

// knownName is a host as known_hosts writes it: with a port when it is not 22.
func knownName(host string, port int) string {
	host = strings.ToLower(host)
	if port == 22 {
		return host
	}
	return "[" + host + "]:" + strconv.Itoa(port)
}

// readRevoked reads the file that RevokedHostKeys names: a list of public keys.
func readRevoked(path string) ([]knownKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("RevokedHostKeys: %w", err)
	}
	if bytes.HasPrefix(text, []byte("SSHKRL\n")) {
		return nil, fmt.Errorf("RevokedHostKeys %s is a binary key revocation list, which is not supported: name a list of public keys", path)
	}
	var keys []knownKey
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return nil, fmt.Errorf("RevokedHostKeys %s:%d: %w", path, n, err)
		}
		keys = append(keys, knownKey{mark: markRevoked, key: key, source: fmt.Sprintf("%s:%d", path, n)})
	}
	return keys, lines.Err()
}
