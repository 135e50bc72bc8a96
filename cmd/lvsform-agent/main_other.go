//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "lvsform-agent: it runs on the Linux hosts that lvsform manages")
	os.Exit(1)
}
