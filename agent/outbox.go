package agent

import (
	"bytes"
	"io"
	"sync"

	"github.com/lvsform/lvsform/wire"
)

// outbox writes frames behind the back of who sends them: a peer that has
// stopped reading must not hold up a transaction.
type outbox struct {
	w io.Writer

	mu      sync.Mutex
	changed sync.Cond
	pending bytes.Buffer
	writing bool
	closed  bool
	err     error // of the first write that failed; nothing is written after it
}

func newOutbox(w io.Writer) *outbox {
	o := &outbox{w: w}
	o.changed.L = &o.mu
	go o.run()
	return o
}

// send queues frames.
func (o *outbox) send(frames ...any) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.changed.Broadcast()
	for _, v := range frames {
		if o.err != nil {
			return o.err
		}
		if err := wire.Write(&o.pending, v); err != nil {
			return err
		}
	}
	return nil
}

// drain waits until everything is written, or cannot be.
func (o *outbox) drain() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && (o.writing || o.pending.Len() > 0) {
		o.changed.Wait()
	}
	return o.err
}

// close ends the writing when everything is written.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.changed.Broadcast()
}

func (o *outbox) run() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		for o.pending.Len() == 0 {
			if o.closed {
				return
			}
			o.changed.Wait()
		}
		body := bytes.Clone(o.pending.Bytes())
		o.pending.Reset()
		o.writing = true
		o.mu.Unlock()
		_, err := o.w.Write(body)
		o.mu.Lock()
		o.writing = false
		if err != nil && o.err == nil {
			o.err = err
		}
		if o.err != nil {
			o.pending.Reset()
		}
		o.changed.Broadcast()
	}
}
