package remote

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kevinburke/ssh_config"
)

// fallback reads ssh_config without ssh: Host, Match all and Match host, Include,
// tokens in HostName, and the defaults of OpenSSH. Another Match is an error.
func (r *resolver) fallback(q query) (settings, error) {
	s := settings{Host: q.Host, HostName: q.Host, Port: 22, User: localUser()}
	configs, err := r.readConfigs()
	if err != nil {
		return s, err
	}
	for _, key := range []string{
		"HostName", "User", "Port", "AddressFamily", "IdentityFile", "CertificateFile", "IdentitiesOnly",
		"IdentityAgent", "ProxyJump", "ProxyCommand", "UserKnownHostsFile", "GlobalKnownHostsFile", "HostKeyAlias",
		"RevokedHostKeys", "KnownHostsCommand", "StrictHostKeyChecking", "ConnectTimeout",
	} {
		if err := s.setFrom(configs, q.Host, key); err != nil {
			return s, err
		}
	}
	if q.User != "" {
		s.User = q.User
	}
	if q.Port != 0 {
		s.Port = q.Port
	}
	s.IdentityFiles = slices.Concat(q.Identities, s.IdentityFiles)
	s.fillDefaults()
	return s, nil
}

// setFrom takes a keyword from the first file that has it; IdentityFile and
// CertificateFile add up.
func (s *settings) setFrom(configs []*ssh_config.Config, host, key string) error {
	for _, c := range configs {
		values, err := c.GetAll(host, key)
		if err != nil {
			return fmt.Errorf("ssh_config: %s: %w", key, err)
		}
		adds := key == "IdentityFile" || key == "CertificateFile"
		for _, v := range values {
			if err := s.set(strings.ToLower(key), v); err != nil {
				return fmt.Errorf("ssh_config: %w", err)
			}
			if !adds {
				break
			}
		}
		if len(values) > 0 && !adds {
			break
		}
	}
	if key != "HostName" {
		return nil
	}
	name := s.HostName
	s.HostName = host // which %h stands for
	var err error
	s.HostName, err = s.expandPath(name)
	return err
}

func (r *resolver) readConfigs() ([]*ssh_config.Config, error) {
	paths := []string{r.config}
	if r.config == "" {
		paths = []string{expandTilde("~/.ssh/config"), systemConfig()}
	}
	var configs []*ssh_config.Config
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && r.config == "" {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("ssh_config: %w", err)
		}
		c, err := ssh_config.DecodeBytes(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w (there is no ssh program to read it with; install OpenSSH, or name a simpler file with --ssh-config)", path, err)
		}
		configs = append(configs, c)
	}
	return configs, nil
}

// systemConfig is where OpenSSH's system-wide file is.
func systemConfig() string {
	if dir := os.Getenv("ProgramData"); dir != "" {
		return filepath.Join(dir, "ssh", "ssh_config")
	}
	return "/etc/ssh/ssh_config"
}

func (s *settings) fillDefaults() {
	if len(s.IdentityFiles) == 0 {
		s.IdentityFiles = []string{"~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519"}
	}
	if len(s.UserKnownHosts) == 0 {
		s.UserKnownHosts = []string{expandTilde("~/.ssh/known_hosts"), expandTilde("~/.ssh/known_hosts2")}
	}
	if len(s.GlobalKnownHosts) == 0 {
		dir := filepath.Dir(systemConfig())
		s.GlobalKnownHosts = []string{filepath.Join(dir, "ssh_known_hosts"), filepath.Join(dir, "ssh_known_hosts2")}
	}
}
