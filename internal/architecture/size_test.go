package architecture

import (
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"testing"
)

// The budgets: an agent travels to every host over links of any kind.
const (
	agentBudget = 4_000_000
	cliBudget   = 25_000_000
)

func TestBinariesKeepToTheirBudget(t *testing.T) {
	for name, tc := range map[string]struct {
		path   string
		budget int64
	}{
		"CLI":                   {"../../bin/lvsform", cliBudget},
		"agent for linux/amd64": {"../../remote/agentbin/dist/lvsform-agent-linux-amd64.gz", agentBudget},
		"agent for linux/arm64": {"../../remote/agentbin/dist/lvsform-agent-linux-arm64.gz", agentBudget},
	} {
		t.Run(name, func(t *testing.T) {
			size, err := unpackedSize(tc.path)
			if errors.Is(err, fs.ErrNotExist) {
				t.Skipf("%s is not built: run make build first", tc.path)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%.1f MB", float64(size)/(1<<20))
			if size > tc.budget {
				t.Errorf("%s has %d bytes, more than %d", tc.path, size, tc.budget)
			}
		})
	}
}

// unpackedSize is the length of a file, or of what a gzip file holds.
func unpackedSize(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var content io.Reader = f
	if z, err := gzip.NewReader(f); err == nil {
		content = z
	} else if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	return io.Copy(io.Discard, content)
}
