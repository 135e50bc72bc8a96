package sshtest

import (
	"encoding/binary"
	"errors"
	"io"
)

// Serve speaks for an agent over the streams of a session.
type Serve func(stdin io.Reader, stdout, stderr io.Writer) int

// Tamper returns an agent that says what change makes of an honest one's
// frames: change gets the number of each (0 is Hello) with its body, and writes
// what is sent in its place. An error of change ends the agent.
func Tamper(honest Serve, change func(n int, body []byte, out io.Writer) error) Serve {
	return func(stdin io.Reader, stdout, stderr io.Writer) int {
		frames, said := io.Pipe()
		go func() {
			honest(stdin, said, stderr)
			said.Close() //nolint:errcheck // a pipe in memory
		}()
		for n := 0; ; n++ {
			body, err := readFrame(frames)
			if err == nil {
				err = change(n, body, stdout)
			}
			if err != nil {
				frames.CloseWithError(err) //nolint:errcheck // it never fails
				if errors.Is(err, io.EOF) {
					return 0
				}
				return 1
			}
		}
	}
}

func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err := io.ReadFull(r, body)
	return body, err
}

// Frame puts the length before a body.
func Frame(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}
