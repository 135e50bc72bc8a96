//go:build linux

package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// floorRole is the least that any tool over SSH has to do: connect to every
// host and run one command.
func floorRole(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("floor", flag.ContinueOnError)
	known := f.String("known-hosts", "", "address and host key of every host")
	identity := f.String("identity", "", "private key")
	parallel := f.Int("parallel", 32, "hosts at a time")
	command := f.String("command", "true", "what to run")
	exchange := f.String("kex", "", "the key exchange; empty: what x/crypto and the server agree on")
	if err := f.Parse(args); err != nil {
		return err
	}
	hosts, err := readKnown(*known)
	if err != nil {
		return err
	}
	pem, err := os.ReadFile(*identity)
	if err != nil {
		return err
	}
	key, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		return err
	}
	config := ssh.Config{}
	if *exchange != "" {
		config.KeyExchanges = []string{*exchange}
	}
	slots := make(chan struct{}, *parallel)
	failed := make(chan error, len(hosts))
	var all sync.WaitGroup
	for _, h := range hosts {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := runOn(ctx, h, key, config, *command); err != nil {
				failed <- fmt.Errorf("%s: %w", h.address, err)
			}
		})
	}
	all.Wait()
	if n := len(failed); n > 0 {
		return fmt.Errorf("%d of %d hosts, first %w", n, len(hosts), <-failed)
	}
	return nil
}

type knownHost struct {
	address string
	key     ssh.PublicKey
}

func readKnown(path string) ([]knownHost, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var hosts []knownHost
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		address, rest, _ := strings.Cut(lines.Text(), " ")
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(rest))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		hosts = append(hosts, knownHost{address, key})
	}
	return hosts, lines.Err()
}

func runOn(ctx context.Context, h knownHost, key ssh.Signer, config ssh.Config, command string) error {
	dialer := net.Dialer{Timeout: 30 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(h.address, "22"))
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(60 * time.Second))
	c, channels, requests, err := ssh.NewClientConn(conn, h.address, &ssh.ClientConfig{
		Config:            config,
		User:              "root",
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback:   ssh.FixedHostKey(h.key),
		HostKeyAlgorithms: []string{h.key.Type()},
	})
	if err != nil {
		return err
	}
	client := ssh.NewClient(c, channels, requests)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	if out, err := session.CombinedOutput(command); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}
