package hcl

import (
	"bytes"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/lvsform/lvsform/topology"
)

// Format returns the canonical form of a native configuration or values file.
// Files in JSON syntax come back as they are. Formatting a formatted file
// changes nothing; what cannot be parsed is an error.
func Format(filename string, src []byte) ([]byte, topology.Diagnostics) {
	r := newReporter()
	r.sources[filename] = src
	if len(src) > maxFileSize {
		r.error(fileRange(filename), "The file is too large", "A file may have %d bytes.", maxFileSize)
		return nil, r.finish()
	}
	if strings.HasSuffix(filename, ".json") {
		_, diags := parseJSON(src, filename)
		r.take(diags)
		return src, r.finish()
	}
	if _, _, diags := parseNative(src, filename); r.take(diags) {
		return nil, r.finish()
	}
	return formatStable(src), r.finish()
}

// formatStable repeats the formatting until it changes nothing more; the few
// texts that never settle are left as they are.
func formatStable(src []byte) []byte {
	last := src
	for range 8 {
		next := hclwrite.Format(last)
		if bytes.Equal(next, last) {
			return next
		}
		last = next
	}
	return src
}
