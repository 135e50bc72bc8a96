package remote

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// hostVerifier decides on one host's key. It is strict: a key that is not
// known is refused, whatever ssh_config says.
type hostVerifier struct {
	name      string     // host or [host]:port, or the alias
	principal string     // that a certificate must name
	scan      string     // the command that fetches the key
	keys      []knownKey // of name
	portless  []knownKey // of the bare host, looked at when name is unknown
	files     []string
	note      string
	refused   error // why the host's key was refused
}

// newHostVerifier looks a host up in the known_hosts files.
func (d *Dialer) newHostVerifier(s *settings) (*hostVerifier, error) {
	v := &hostVerifier{name: knownName(s.HostName, s.Port), principal: strings.ToLower(s.HostName)}
	v.scan = fmt.Sprintf("ssh-keyscan %s", s.HostName)
	if s.Port != 22 {
		v.scan = fmt.Sprintf("ssh-keyscan -p %d %s", s.Port, s.HostName)
	}
	bare := strings.ToLower(s.HostName)
	if s.HostKeyAlias != "" {
		v.name, v.principal, bare = strings.ToLower(s.HostKeyAlias), s.HostKeyAlias, ""
	}
	if err := d.lookup(v, s, bare); err != nil {
		return nil, err
	}
	switch s.StrictChecking {
	case "no", "off", "false", "accept-new":
		v.note = "StrictHostKeyChecking in ssh_config is not followed: host keys are always checked strictly"
	}
	if s.KnownHostsCommand != "" && s.KnownHostsCommand != "none" {
		v.note = withNote("KnownHostsCommand in ssh_config is not followed", v.note)
	}
	return v, nil
}

// lookup collects what the files know of a host. bare is its name without the
// port, empty under an alias.
func (d *Dialer) lookup(v *hostVerifier, s *settings, bare string) error {
	v.files = append(slices.Clone(s.UserKnownHosts), s.GlobalKnownHosts...)
	if d.config.KnownHosts != "" {
		v.files = []string{d.config.KnownHosts}
	}
	v.files = slices.DeleteFunc(v.files, func(f string) bool { return f == "none" })
	for i, f := range v.files {
		f = expandTilde(f)
		v.files[i] = f
		keys, err := d.known.lookup(f, v.name)
		if err != nil {
			return err
		}
		v.keys = append(v.keys, keys...)
		if bare == "" || bare == v.name {
			continue
		}
		if keys, err = d.known.lookup(f, bare); err != nil {
			return err
		}
		v.portless = append(v.portless, keys...)
	}
	if len(v.files) > 0 {
		v.scan += " >> " + v.files[0]
	}
	if s.RevokedHostKeys == "" || s.RevokedHostKeys == "none" {
		return nil
	}
	revoked, err := readRevoked(expandTilde(s.RevokedHostKeys))
	v.keys = append(v.keys, revoked...)
	return err
}

// algorithms orders the host key algorithms: those of the known keys first, so
// that the host offers a key which can be compared. The others follow, so that
// a host which lost its known key is told from one that speaks no SSH.
func (v *hostVerifier) algorithms() []string {
	// Certificates first, then what is cheap to verify. No SHA-1.
	certs := []string{
		ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
		ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01,
	}
	plain := []string{
		ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
	}
	var known, rest []string
	if _, ok := v.find(markAuthority, nil); ok {
		known = certs
	} else {
		rest = certs
	}
	for _, algo := range plain {
		format := algo
		if algo == ssh.KeyAlgoRSASHA512 || algo == ssh.KeyAlgoRSASHA256 {
			format = ssh.KeyAlgoRSA
		}
		if v.hasFormat(format) {
			known = append(known, algo)
		} else {
			rest = append(rest, algo)
		}
	}
	// A plain key is worth more than a certificate that nobody vouches for.
	slices.SortStableFunc(rest, func(a, b string) int {
		return boolInt(slices.Contains(certs, a)) - boolInt(slices.Contains(certs, b))
	})
	return append(known, rest...)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// believed are the keys that may vouch for the host: those of its name with
// its port, or when there is none those of the bare name (as OpenSSH does).
func (v *hostVerifier) believed() []knownKey {
	for _, k := range v.keys {
		if k.mark != markRevoked {
			return v.keys
		}
	}
	return v.portless
}

// find returns the first believed key with a mark, equal to key unless nil.
func (v *hostVerifier) find(mark marker, key ssh.PublicKey) (knownKey, bool) {
	for _, k := range v.believed() {
		if k.mark == mark && (key == nil || equalKeys(k.key, key)) {
			return k, true
		}
	}
	return knownKey{}, false
}

func (v *hostVerifier) hasFormat(format string) bool {
	return slices.ContainsFunc(v.believed(), func(k knownKey) bool {
		return k.mark == markNone && k.key.Type() == format
	})
}

// callback is the ssh.HostKeyCallback.
func (v *hostVerifier) callback(_ string, _ net.Addr, key ssh.PublicKey) error {
	v.refused = v.check(key)
	return v.refused
}

func (v *hostVerifier) check(key ssh.PublicKey) error {
	if err := v.checkRevoked(key); err != nil {
		return err
	}
	cert, isCert := key.(*ssh.Certificate)
	if isCert {
		if authority, ok := v.find(markAuthority, cert.SignatureKey); ok {
			return v.checkCertificate(cert, authority)
		}
		// As OpenSSH: a certificate of an unknown authority is still a key.
		key = cert.Key
	}
	if _, ok := v.find(markNone, key); ok {
		return nil
	}
	return v.refusal(key)
}

func (v *hostVerifier) refusal(key ssh.PublicKey) error {
	kind, print := keyName(key), ssh.FingerprintSHA256(key)
	var known, authorities []string
	for _, k := range v.believed() {
		switch k.mark {
		case markNone:
			known = append(known, k.source)
		case markAuthority:
			authorities = append(authorities, k.source)
		}
	}
	if len(known) > 0 {
		return &ChangedHostKeyError{Address: v.name, KeyType: kind, Fingerprint: print, Known: known, Note: v.note}
	}
	note := v.note
	if len(authorities) > 0 {
		note = withNote("it is trusted by certificate ("+listText(authorities)+"), but showed none that this authority signed", note)
	}
	return &UnknownHostKeyError{Address: v.name, KeyType: kind, Fingerprint: print, Files: v.files, Note: note, scan: v.scan}
}

func (v *hostVerifier) checkRevoked(key ssh.PublicKey) error {
	bad := []ssh.PublicKey{key}
	if cert, ok := key.(*ssh.Certificate); ok {
		bad = []ssh.PublicKey{cert.Key, cert.SignatureKey}
	}
	for _, k := range append(slices.Clone(v.keys), v.portless...) {
		for _, b := range bad {
			if k.mark == markRevoked && equalKeys(k.key, b) {
				return &RevokedHostKeyError{
					Address: v.name, KeyType: keyName(b), Fingerprint: ssh.FingerprintSHA256(b), Where: k.source,
				}
			}
		}
	}
	return nil
}

// checkCertificate verifies a certificate whose authority is trusted.
func (v *hostVerifier) checkCertificate(cert *ssh.Certificate, authority knownKey) error {
	err := func() error {
		if cert.CertType != ssh.HostCert {
			return fmt.Errorf("it is a certificate for users, not for hosts")
		}
		// Neither SHA-1 nor DSA is taken, as in OpenSSH.
		if f := cert.Signature.Format; f == ssh.KeyAlgoRSA || f == "ssh-dss" {
			return fmt.Errorf("it is signed with %s, which is not safe", f)
		}
		principal := v.principal
		for _, p := range cert.ValidPrincipals {
			if matchWildcard(strings.ToLower(p), strings.ToLower(principal)) {
				principal = p // OpenSSH takes patterns for hosts
				break
			}
		}
		return (&ssh.CertChecker{}).CheckCert(principal, cert)
	}()
	if err != nil {
		return &HostCertificateError{Address: v.name, Authority: authority.source, Err: err}
	}
	return nil
}

func equalKeys(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

// keyName is a key's type as people say it.
func keyName(key ssh.PublicKey) string {
	name := strings.TrimPrefix(key.Type(), "ssh-")
	name, _, _ = strings.Cut(strings.TrimPrefix(name, "ecdsa-sha2-"), "-cert-v01@")
	if strings.HasPrefix(key.Type(), "ecdsa") {
		return "ecdsa " + name
	}
	return name
}
