// Package sources says where modules from elsewhere come from.
package sources

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
)

// GitPrefix begins the source of a module that is fetched with git.
const GitPrefix = "git::"

// Git is a directory of a git repository at a ref: git::URL//DIR?ref=REF.
type Git struct {
	URL string // with a scheme; no password
	Dir string // slash-separated, inside the repository; "." is its root
	Ref string // a tag, a branch or a whole commit id
}

// Repository is what of a source a pin belongs to, whatever the directory.
type Repository struct{ URL, Ref string }

// Repository returns the repository of the source.
func (g Git) Repository() Repository { return Repository{g.URL, g.Ref} }

// String is the source as it is written.
func (g Git) String() string {
	s := GitPrefix + g.URL
	if g.Dir != "." {
		s += "//" + g.Dir
	}
	return s + "?ref=" + g.Ref
}

func (r Repository) String() string { return GitPrefix + r.URL + "?ref=" + r.Ref }

// Folder is the name of the folder below Modules that holds the repository's
// files: readable, and different for every URL and ref.
func (r Repository) Folder() string {
	base := strings.TrimSuffix(path.Base(r.URL), ".git")
	base = strings.Map(func(c rune) rune {
		if letterOrDigit(c) || c == '-' || c == '_' {
			return c
		}
		return '-'
	}, base)
	sum := sha256.Sum256([]byte(r.URL + "\n" + r.Ref))
	if base = strings.Trim(base[:min(len(base), 40)], "-"); base == "" {
		base = "repository"
	}
	return base + "-" + hex.EncodeToString(sum[:6])
}

const (
	// Modules is the folder, beside a configuration, of what init fetches.
	Modules = ".lvsform/modules"
	// LockFile is the file, beside a configuration, that pins it.
	LockFile = ".lvsform.lock.hcl"
)

// Schemes are the transports that git may use, as GIT_ALLOW_PROTOCOL takes
// them. Others, like ext, run programs.
const Schemes = "file:git:http:https:ssh"

const example = `"git::https://example.net/lvs.git//dir?ref=v1.0.0"`

// maxSource bounds the length of a source.
const maxSource = 2000

// ParseGit reads a source that begins with GitPrefix; why is the sentence that
// says what is wrong with it, or "".
func ParseGit(source string) (g Git, why string) {
	text := strings.TrimPrefix(source, GitPrefix)
	switch {
	case len(text) > maxSource:
		return g, fmt.Sprintf("A source may have %d characters.", maxSource)
	case strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c == '\\' || c >= 0x7f }):
		return g, "A source holds no spaces, backslashes or control characters. Write %20 for a space."
	}
	address, query, _ := strings.Cut(text, "?")
	address, g.Dir, why = splitDir(address)
	if why != "" {
		return g, why
	}
	if why := badURL(address); why != "" {
		return g, why
	}
	g.URL = address
	g.Ref, why = parseRef(query)
	return g, why
}

// splitDir takes the directory after the second // of an address.
func splitDir(address string) (repository, dir, why string) {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok || !slices.Contains(strings.Split(Schemes, ":"), scheme) {
		return "", "", "After git:: stands a URL that begins with https, http, ssh, git or file: " + example + "."
	}
	rest, dir, ok = strings.Cut(rest, "//")
	if !ok {
		return address, ".", ""
	}
	dir = strings.TrimSuffix(dir, "/")
	if why := BadPath(dir); why != "" {
		return "", "", fmt.Sprintf("The directory after // cannot be used: %s. Write it as it is in the repository: %s.", why, example)
	}
	return scheme + "://" + rest, dir, ""
}

func badURL(address string) string {
	u, err := url.Parse(address)
	if err != nil || strings.Contains(address, "#") {
		return "After git:: stands a URL: " + example + "."
	}
	_, secret := u.User.Password()
	switch {
	case secret:
		return "A source holds no password, because the lock shows it. Leave it to git's credential helpers, or use ssh."
	case u.Scheme == "file" && (u.Host != "" || !strings.HasPrefix(u.Path, "/")):
		return "A file URL names a whole path: \"git::file:///srv/lvs.git?ref=v1.0.0\"."
	case u.Scheme != "file" && u.Hostname() == "":
		return "The URL names no host: " + example + "."
	case strings.HasPrefix(u.Host, "-") || strings.HasPrefix(u.User.Username(), "-"):
		return "A host or user that begins with a minus would be taken for an option."
	case strings.Trim(u.Path, "/") == "":
		return "The URL names no repository: " + example + "."
	}
	return ""
}

func parseRef(query string) (ref, why string) {
	values, err := url.ParseQuery(strings.ReplaceAll(query, "+", "%2B"))
	if err != nil || len(values) > 1 || len(values) == 1 && len(values["ref"]) != 1 {
		return "", "After the question mark only ref is understood, once: " + example + "."
	}
	ref = values.Get("ref")
	switch {
	case ref == "":
		return "", "Without a ref every day could bring another module. Name a tag, a branch or a whole commit id: " + example + "."
	case !ValidRef(ref):
		return "", fmt.Sprintf("%q cannot be the name of a tag or branch. Write one like v1.0.0, or a commit id of 40 digits.", clip(ref))
	}
	return ref, ""
}

// ValidRef tells whether a text may name a tag or a branch; stricter than
// git-check-ref-format(1).
func ValidRef(s string) bool {
	if s == "" || len(s) > 200 || !letterOrDigit(rune(s[0])) {
		return false
	}
	for _, c := range s {
		if !letterOrDigit(c) && !strings.ContainsRune("._/+@-", c) {
			return false
		}
	}
	return !strings.Contains(s, "..") && !strings.Contains(s, "//") && !strings.HasSuffix(s, "/") &&
		!strings.HasSuffix(s, ".") && !strings.HasSuffix(s, ".lock") && !strings.Contains(s, "/.")
}

// IsCommit tells whether a ref is a whole commit id, which names the same files
// for ever.
func IsCommit(ref string) bool {
	return len(ref) == 40 && strings.Trim(ref, "0123456789abcdef") == ""
}

func letterOrDigit(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
