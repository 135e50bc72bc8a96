package remote

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"

	"golang.org/x/crypto/ssh"
)

// identity is one identity file, read once.
type identity struct {
	path   string
	signer ssh.Signer    // nil when only the public half can be read
	public ssh.PublicKey // nil when the file is not there
	why    string        // why there is no signer
}

// identities reads identity files once for all hosts.
type identities struct {
	mu    sync.Mutex
	files map[string]identity
}

func newIdentities() *identities { return &identities{files: map[string]identity{}} }

func (s *identities) load(path string) identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := s.files[path]
	if !ok {
		id = readIdentity(path)
		s.files[path] = id
	}
	return id
}

func readIdentity(path string) identity {
	id := identity{path: path}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		// The public half alone is enough to choose a key of the agent.
		id.public = readPublic(path + ".pub")
		if id.public != nil {
			id.why = fmt.Sprintf("%s is not there, only %s.pub, and the agent does not have it", path, path)
		}
		return id
	}
	if err != nil {
		id.why = fmt.Sprintf("%s cannot be read: %s", path, causeText(err))
		return id
	}
	if key, _, _, _, err := ssh.ParseAuthorizedKey(text); err == nil {
		id.public, id.why = key, fmt.Sprintf("%s is a public key, and the agent does not have it", path)
		return id
	}
	signer, err := ssh.ParsePrivateKey(text)
	var locked *ssh.PassphraseMissingError
	switch {
	case err == nil:
		id.signer, id.public = signer, signer.PublicKey()
	case errors.As(err, &locked):
		id.public = locked.PublicKey
		if id.public == nil {
			id.public = readPublic(path + ".pub")
		}
		id.why = fmt.Sprintf("%s has a passphrase: load it into an agent with ssh-add %s", path, path)
	default:
		id.why = fmt.Sprintf("%s is not a private key that can be read: %s", path, causeText(err))
	}
	return id
}

func readPublic(path string) ssh.PublicKey {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil
	}
	return key
}

// candidate is a key to offer, with the name that an error gives it.
type candidate struct {
	signer ssh.Signer
	name   string
}

// offer is the keys for one host, in ssh's order: certificates and keys of the
// agent that an identity file names, the agent's other keys, then the files.
type offer struct {
	keys    []candidate
	skipped []string
}

// keysFor collects what to offer to a host.
func (d *Dialer) keysFor(s *settings) (*offer, error) {
	o := &offer{}
	agentKeys, err := d.agentKeys(s)
	if err != nil {
		o.skipped = append(o.skipped, err.Error())
	}
	var ids []identity
	for _, file := range s.IdentityFiles {
		path, err := s.expandPath(file)
		if err != nil {
			o.skipped = append(o.skipped, err.Error())
			continue
		}
		if id := d.identities.load(path); id.public != nil || id.why != "" {
			ids = append(ids, id)
		}
	}
	// The keys that can sign, named ones first.
	var named, others, files []candidate
	for _, k := range agentKeys {
		if slices.ContainsFunc(ids, func(id identity) bool { return id.public != nil && sameKey(id.public, k.signer.PublicKey()) }) {
			named = append(named, k)
		} else if !s.IdentitiesOnly {
			others = append(others, k)
		}
	}
	for _, id := range ids {
		if slices.ContainsFunc(named, func(c candidate) bool { return id.public != nil && sameKey(id.public, c.signer.PublicKey()) }) {
			continue
		}
		if id.signer == nil {
			o.skipped = append(o.skipped, id.why)
			continue
		}
		files = append(files, candidate{id.signer, id.path + " (" + keyName(id.public) + ")"})
	}
	signers := append(append(slices.Clone(named), files...), agentKeys...)
	certs, skipped, err := d.certificates(s, ids, signers)
	if err != nil {
		return nil, err
	}
	o.skipped = append(o.skipped, skipped...)
	o.keys = append(certs, slices.Concat(named, others, files)...)
	return o, nil
}

// certificates pairs the user certificates with the keys that they certify:
// those of CertificateFile, and FILE-cert.pub beside every identity file.
func (d *Dialer) certificates(s *settings, ids []identity, signers []candidate) (certs []candidate, skipped []string, err error) {
	paths := make([]string, 0, len(s.CertificateFiles)+len(ids))
	for _, file := range s.CertificateFiles {
		path, err := s.expandPath(file)
		if err != nil {
			return nil, nil, fmt.Errorf("CertificateFile: %w", err)
		}
		paths = append(paths, path)
	}
	explicit := len(paths)
	for _, id := range ids {
		paths = append(paths, id.path+"-cert.pub")
	}
	var seen []ssh.PublicKey
	for i, path := range paths {
		cert, ok := d.identities.load(path).public.(*ssh.Certificate)
		if !ok {
			if i < explicit {
				skipped = append(skipped, path+" is not a certificate that can be read")
			}
			continue
		}
		if slices.ContainsFunc(seen, func(k ssh.PublicKey) bool { return equalKeys(k, cert) }) {
			continue
		}
		seen = append(seen, cert)
		at := slices.IndexFunc(signers, func(c candidate) bool { return equalKeys(c.signer.PublicKey(), cert.Key) })
		if at < 0 {
			skipped = append(skipped, path+" certifies a key that neither the agent nor an identity file has")
			continue
		}
		signer, err := ssh.NewCertSigner(cert, signers[at].signer)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		certs = append(certs, candidate{signer, path + " (certificate)"})
	}
	return certs, skipped, nil
}

// sameKey compares the keys themselves: a certificate equals its key.
func sameKey(a, b ssh.PublicKey) bool {
	return bytes.Equal(bareKey(a).Marshal(), bareKey(b).Marshal())
}

func bareKey(k ssh.PublicKey) ssh.PublicKey {
	if cert, ok := k.(*ssh.Certificate); ok {
		return cert.Key
	}
	return k
}

// attempt is one authentication: it offers the keys one by one, and remembers
// what an error will have to name.
type attempt struct {
	offer   *offer
	next    int
	began   bool
	offered []string
	tried   []string
}

// callback is the ssh.ClientAuthCallback. It hands out one key at a time, so
// that a key whose agent refuses to sign does not end the attempt.
func (a *attempt) callback(ctx *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	a.began = true
	a.offered = ctx.AllowedMethods
	if !slices.Contains(ctx.AllowedMethods, "publickey") || a.next >= len(a.offer.keys) {
		return nil, nil
	}
	key := a.offer.keys[a.next]
	a.next++
	a.tried = append(a.tried, clean(key.name))
	return ssh.PublicKeys(namedSigner(key)), nil
}

// namedSigner gives a signing error the key's name.
func namedSigner(c candidate) ssh.Signer {
	if multi, ok := c.signer.(ssh.MultiAlgorithmSigner); ok {
		return explained{multi, c.name}
	}
	return c.signer
}

type explained struct {
	ssh.MultiAlgorithmSigner
	name string
}

func (e explained) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	sig, err := e.MultiAlgorithmSigner.SignWithAlgorithm(rand, data, algorithm)
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", e.name, err)
	}
	return sig, nil
}
