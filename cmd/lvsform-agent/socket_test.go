//go:build linux

package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/lvsform/lvsform/wire"
)

func TestConfirmationsComeOverASocket(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "confirm")
	if err := os.WriteFile(path, nil, 0o600); err != nil { // of a guard that was killed
		t.Fatal(err)
	}
	confirmed, unlisten := confirmations(path)
	if confirmed == nil {
		t.Fatal("nothing listens")
	}
	for _, c := range []struct {
		says, token, want string
	}{
		{says: "abc\n", token: "abc", want: wire.Kept},
		{says: "ab\n", token: "ab", want: ""},
	} {
		peer, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(peer, c.says); err != nil {
			t.Fatal(err)
		}
		got := <-confirmed
		got.Answer(c.want != "")
		answer, _ := io.ReadAll(peer) // it may end with a reset
		if got.Token != c.token || string(answer) != c.want {
			t.Errorf("%q: token %q, answer %q", c.says, got.Token, answer)
		}
		peer.Close()
	}
	// What is no line is nobody's confirmation.
	for _, says := range []string{"", "abc", "ab\nc", string(make([]byte, 1000))} {
		peer, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(peer, says)
		_ = peer.(*net.UnixConn).CloseWrite()
		if answer, _ := io.ReadAll(peer); len(answer) > 0 {
			t.Errorf("%q is answered: %q", says, answer)
		}
		peer.Close()
	}
	unlisten()
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket stays")
	}
}

func TestNoSocketWhereOthersCouldReachIt(t *testing.T) {
	for name, mode := range map[string]os.FileMode{"group": 0o750, "others": 0o701} {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(dir, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if confirmed, _ := confirmations(filepath.Join(dir, "confirm")); confirmed != nil {
			t.Errorf("%s: it listens", name)
		}
	}
	if confirmed, _ := confirmations(filepath.Join(t.TempDir(), "missing", "confirm")); confirmed != nil {
		t.Error("it listens in a directory that is not there")
	}
}
