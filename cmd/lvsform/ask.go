package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
)

var errNoTerminal = errors.New("there is no terminal to ask on, and nothing was changed")

// ask asks on a terminal; only yes will do.
func (c *cli) ask(ctx context.Context, question string) error {
	if c.flags.autoApprove {
		return nil
	}
	if !isTerminal(c.stdin) {
		return errNoTerminal
	}
	fmt.Fprintf(c.stdout, "\n%s\n  Only 'yes' will be accepted: ", question)
	answer := make(chan string, 1)
	go func() {
		text, err := bufio.NewReader(c.stdin).ReadString('\n')
		if err != nil {
			text = ""
		}
		answer <- text
	}()
	select {
	case <-ctx.Done():
		return errors.New("interrupted; nothing was changed")
	case text := <-answer:
		if strings.TrimSpace(text) != "yes" {
			return errors.New("declined; nothing was changed")
		}
	}
	fmt.Fprintln(c.stdout)
	return nil
}
