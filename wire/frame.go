package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// MaxFrame is the largest frame's length in bytes; a longer one is refused
// before it is read.
const MaxFrame = 64 << 20

// What a frame may hold: objects and lists, and members of both. Of the largest
// table that fits into MaxFrame it is a multiple; but millions of empty ones in
// little text would cost the reader a hundred times the memory of the frame.
const (
	maxContainers = 1 << 20
	maxMembers    = 4 << 20
	smallFrame    = 1 << 20 // bytes that cannot hold too much
)

// checkSize refuses a frame that holds too many values before they are made.
func checkSize(body []byte) error {
	if len(body) <= smallFrame {
		return nil
	}
	containers, members, text := 0, 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case c == '"':
			text = !text
		case text && c == '\\':
			i++
		case text:
		case c == '{' || c == '[':
			containers++
		case c == ',':
			members++
		}
	}
	if containers > maxContainers || members > maxMembers {
		return fmt.Errorf("wire: frame of %d bytes holds too many values", len(body))
	}
	return nil
}

// Write sends v as one frame: its length in bytes as a big-endian uint32, then
// its JSON.
func Write(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("wire: encode %T: %w", v, err)
	}
	if len(body) > MaxFrame {
		return fmt.Errorf("wire: %T of %d bytes is over the limit of %d", v, len(body), MaxFrame)
	}
	frame := make([]byte, 4, 4+len(body))
	binary.BigEndian.PutUint32(frame, uint32(len(body)))
	_, err = w.Write(append(frame, body...))
	return err
}

// Read reads one frame into v, strictly: unknown fields are an error. It
// returns io.EOF at the end of the stream between two frames.
func Read(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > MaxFrame {
		return fmt.Errorf("wire: frame of %d bytes is over the limit of %d", n, MaxFrame)
	}
	// The buffer grows as bytes arrive: a false length costs nothing.
	var body bytes.Buffer
	if _, err := io.CopyN(&body, r, int64(n)); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("wire: frame cut short: %w", err)
	}
	if err := checkSize(body.Bytes()); err != nil {
		return err
	}
	d := json.NewDecoder(&body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		// Not wrapped: the end of a body is not the end of the stream.
		return fmt.Errorf("wire: decode %T: %s", v, err)
	}
	if d.More() {
		return fmt.Errorf("wire: frame with more than one document")
	}
	return nil
}
