package remote

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/crypto/ssh"
)

// process is one command that runs on a host.
type process struct {
	channel ssh.Channel
	out     *bufio.Reader
	errs    *tail
	done    chan struct{} // closed when the channel is closed and stderr read
	exit    exit          // read it after done
}

// exit is how a command ended.
type exit struct {
	known  bool // the host told
	code   int
	signal string
}

func (e exit) String() string {
	switch {
	case !e.known:
		return "without an exit status"
	case e.signal != "":
		return "by signal " + clean(e.signal)
	}
	return fmt.Sprintf("with exit status %d", e.code)
}

// graceful is how long an ended command may take to say how it ended.
const graceful = 2 * time.Second

// startProcess runs a command. It does not wait for the host to accept it: the
// command's input follows at once, which saves a round trip.
func startProcess(l *link, command string) (*process, error) {
	channel, requests, err := l.client.OpenChannel("session", nil)
	if err != nil {
		return nil, err
	}
	// Messages of sudo and the shell are understood in English. A server that
	// does not take the variable leaves us with the exit status.
	env := ssh.Marshal(struct{ Name, Value string }{"LC_ALL", "C"})
	if _, err := channel.SendRequest("env", false, env); err != nil {
		return nil, err
	}
	if _, err := channel.SendRequest("exec", false, ssh.Marshal(struct{ Command string }{command})); err != nil {
		return nil, err
	}
	p := &process{channel: channel, out: bufio.NewReaderSize(channel, 32<<10), errs: &tail{}, done: make(chan struct{})}
	go p.watch(requests)
	return p, nil
}

// watch collects stderr and the exit status.
func (p *process) watch(requests <-chan *ssh.Request) {
	defer close(p.done)
	read := make(chan struct{})
	go func() {
		_, _ = io.Copy(p.errs, p.channel.Stderr()) // it ends with the channel
		close(read)
	}()
	for r := range requests {
		switch r.Type {
		case "exit-status":
			var status struct{ Code uint32 }
			if ssh.Unmarshal(r.Payload, &status) == nil {
				p.exit = exit{known: true, code: int(status.Code)}
			}
		case "exit-signal":
			var signal struct {
				Signal     string
				CoreDumped bool
				Error      string
				Lang       string
			}
			if ssh.Unmarshal(r.Payload, &signal) == nil {
				p.exit = exit{known: true, code: -1, signal: signal.Signal}
			}
		}
		if r.WantReply {
			_ = r.Reply(false, nil) // the connection's end shows elsewhere
		}
	}
	<-read
}

// ended waits for the end of a command whose stdout has ended.
func (p *process) ended() exit {
	select {
	case <-p.done:
		return p.exit
	case <-time.After(graceful):
		p.channel.Close()
		return exit{}
	}
}

// isEnd tells the end of a command from a fault in what it wrote.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
