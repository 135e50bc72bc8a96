package lab

import (
	"fmt"
	"io"
	"strings"
)

// archived is one file or directory of an initial RAM disk.
type archived struct {
	name string // without a leading slash
	mode uint32 // 0o040000 marks a directory; otherwise it is a file
	data []byte
}

// writeArchive writes a cpio archive in the "newc" form, which the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst describes.
func writeArchive(w io.Writer, files []archived) error {
	for i, f := range append(files[:len(files):len(files)], archived{name: "TRAILER!!!"}) {
		mode := f.mode
		if mode&0o170000 == 0 {
			mode |= 0o100000
		}
		head := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", i+1, mode, 0, 0, 1, 0,
			len(f.data), 0, 0, 0, 0, len(f.name)+1, 0) + f.name + "\x00"
		if _, err := io.WriteString(w, pad(head)); err != nil {
			return err
		}
		if _, err := io.WriteString(w, pad(string(f.data))); err != nil {
			return err
		}
	}
	return nil
}

// pad fills up to four bytes, to which names and contents are aligned.
func pad(s string) string {
	return s + strings.Repeat("\x00", (4-len(s)%4)%4)
}
