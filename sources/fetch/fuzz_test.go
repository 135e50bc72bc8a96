package fetch

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/sources"
)

// FuzzUnpack writes whatever a listing and contents say, and looks for files
// beside the folder.
func FuzzUnpack(f *testing.F) {
	const id = "0123456789abcdef0123456789abcdef01234567"
	line := func(mode, name string) string { return mode + " blob " + id + "       3\t" + name + "\x00" }
	for _, name := range []string{"a", "a/b", "../a", "a/../../b", ".git/config", "/etc/x", "a\\b", "a\nb"} {
		f.Add(line("100644", name), "abc")
		f.Add(line("120000", "l")+line("100644", "l/"+name), "../")
	}
	f.Add("160000 commit "+id+"       -\tsub\x00", "")
	f.Fuzz(func(t *testing.T, listing, content string) {
		list, err := readTree(strings.NewReader(listing))
		if err != nil {
			return
		}
		place := t.TempDir()
		dir := filepath.Join(place, "in")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close() //nolint:errcheck // it is a test
		var answers bytes.Buffer
		for _, f := range list {
			body := content[:min(int64(len(content)), f.size)]
			answers.WriteString(f.id + " blob " + strconv.FormatInt(f.size, 10) + "\n" + body + "\n")
		}
		_ = writeFiles(list, root, io.Discard, bufio.NewReader(&answers))
		beside, err := os.ReadDir(place)
		if err != nil || len(beside) != 1 {
			t.Errorf("beside the folder are %v, %v", beside, err)
		}
		_, _ = sources.Examine(dir)
	})
}
