package remote

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// settings is what ssh_config says of one host. Empty means unset.
type settings struct {
	Host     string // the name that was asked for
	HostName string // what to dial
	User     string
	Port     int
	Family   string // any, inet, inet6

	IdentityFiles    []string
	CertificateFiles []string
	IdentitiesOnly   bool
	IdentityAgent    string

	ProxyJump    string
	ProxyCommand string

	UserKnownHosts    []string
	GlobalKnownHosts  []string
	HostKeyAlias      string
	RevokedHostKeys   string
	KnownHostsCommand string
	StrictChecking    string

	ConnectTimeout time.Duration
}

// parseSettings reads the output of `ssh -G`: one keyword and value a line.
func parseSettings(host string, out []byte) (settings, error) {
	s := settings{Host: host, HostName: host, Port: 22}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		key, value, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		if err := s.set(strings.ToLower(key), strings.TrimSpace(value)); err != nil {
			return s, err
		}
	}
	return s, lines.Err()
}

func (s *settings) set(key, value string) error {
	switch key {
	case "hostname":
		s.HostName = value
	case "user":
		s.User = value
	case "port":
		port, err := strconv.Atoi(value)
		if err != nil || port < 1 || port > 65535 {
			return fmt.Errorf("port %q is not a port", value)
		}
		s.Port = port
	case "addressfamily":
		s.Family = value
	case "identityfile":
		s.IdentityFiles = append(s.IdentityFiles, value)
	case "certificatefile":
		s.CertificateFiles = append(s.CertificateFiles, value)
	case "identitiesonly":
		s.IdentitiesOnly = value == "yes" || value == "true"
	case "identityagent":
		s.IdentityAgent = value
	case "proxyjump":
		s.ProxyJump = value
	case "proxycommand":
		s.ProxyCommand = value
	case "userknownhostsfile":
		s.UserKnownHosts = splitPaths(value)
	case "globalknownhostsfile":
		s.GlobalKnownHosts = splitPaths(value)
	case "hostkeyalias":
		s.HostKeyAlias = value
	case "revokedhostkeys":
		s.RevokedHostKeys = value
	case "knownhostscommand":
		s.KnownHostsCommand = value
	case "stricthostkeychecking":
		s.StrictChecking = value
	case "connecttimeout":
		if seconds, err := strconv.Atoi(value); err == nil {
			s.ConnectTimeout = time.Duration(seconds) * time.Second
		}
	}
	return nil
}

// splitPaths splits a list of paths that ssh prints without quotes: a path
// with spaces in it is known by its being there.
func splitPaths(value string) []string {
	words := strings.Fields(value)
	var paths []string
	for len(words) > 0 {
		n := 1
		for k := len(words); k > 1; k-- {
			if _, err := os.Stat(expandTilde(strings.Join(words[:k], " "))); err == nil {
				n = k
				break
			}
		}
		paths = append(paths, strings.Trim(strings.Join(words[:n], " "), `"`))
		words = words[n:]
	}
	return paths
}

// expandTilde replaces a leading ~/ by the home directory.
func expandTilde(path string) string {
	rest, ok := strings.CutPrefix(path, "~")
	if !ok || rest != "" && rest[0] != '/' && rest[0] != filepath.Separator {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	return home + rest
}

// expandPath replaces ~, ${NAME} and the % tokens of ssh_config(5) that name a
// host, a user or a directory.
func (s *settings) expandPath(path string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		switch {
		case strings.HasPrefix(path[i:], "${"):
			name, rest, ok := strings.Cut(path[i+2:], "}")
			value, set := os.LookupEnv(name)
			if !ok || !set {
				return "", fmt.Errorf("%s: environment variable %q is not set", path, name)
			}
			b.WriteString(value)
			i = len(path) - len(rest) - 1
		case path[i] == '%' && i+1 < len(path):
			i++
			value, ok := s.token(path[i])
			if !ok {
				return "", fmt.Errorf("%s: token %%%c is not understood", path, path[i])
			}
			b.WriteString(value)
		default:
			b.WriteByte(path[i])
		}
	}
	return expandTilde(b.String()), nil
}

func (s *settings) token(c byte) (string, bool) {
	switch c {
	case '%':
		return "%", true
	case 'h':
		return s.HostName, true
	case 'n':
		return s.Host, true
	case 'k':
		if s.HostKeyAlias != "" {
			return s.HostKeyAlias, true
		}
		return s.Host, true
	case 'p':
		return strconv.Itoa(s.Port), true
	case 'r':
		return s.User, true
	case 'j':
		return s.ProxyJump, true
	case 'd':
		home, err := os.UserHomeDir()
		return home, err == nil
	case 'i':
		return strconv.Itoa(os.Getuid()), true
	case 'u':
		return localUser(), true
	case 'l', 'L':
		name, err := os.Hostname()
		if c == 'L' {
			name, _, _ = strings.Cut(name, ".")
		}
		return name, err == nil
	}
	return "", false
}
