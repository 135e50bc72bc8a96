package agent

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// sealHead begins the last line of a file that holds what a host remembers.
const sealHead = "\n{\"checksum\":\""

// seal adds a line with the content's checksum: a flipped bit may make another
// value of one, and leave it JSON.
func seal(content []byte) []byte {
	return fmt.Appendf(bytes.Clone(content), "%s%016x\"}\n", sealHead, checksum(content))
}

// unseal checks the seal and returns the content. A file without one, because it
// was written by hand or cut before the line, is its content.
func unseal(file []byte) ([]byte, error) {
	i := bytes.LastIndex(file, []byte(sealHead))
	if i < 0 {
		return file, nil
	}
	hex, ok := bytes.CutSuffix(bytes.TrimSuffix(file[i+len(sealHead):], []byte("\n")), []byte("\"}"))
	sum, err := strconv.ParseUint(string(hex), 16, 64)
	if !ok || err != nil || sum != checksum(file[:i]) {
		return nil, errors.New("its checksum does not match")
	}
	return file[:i], nil
}

// checksum is FNV-1a of 64 bits, in which every single flipped bit shows.
func checksum(content []byte) uint64 {
	sum := uint64(14695981039346656037)
	for _, b := range content {
		sum = (sum ^ uint64(b)) * 1099511628211
	}
	return sum
}
