package main

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// continuation is the command that goes on where this run ended. Values of
// --var are left for the reader to fill in: any of them may be a secret.
func (r *applyRun) continuation() string {
	words := []string{"lvsform", r.cmd.Name()}
	if r.file != "" {
		words = []string{"lvsform", "plan"}
		if r.c.flags.destroy {
			words = append(words, "--destroy")
		}
	}
	r.cmd.Flags().Visit(func(f *pflag.Flag) {
		switch f.Name {
		case "var", "var-file":
			return
		case "auto-approve", "json":
			if r.file != "" {
				return
			}
		}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			for _, v := range list.GetSlice() {
				words = append(words, "--"+f.Name, shellQuote(v))
			}
			return
		}
		if f.Value.Type() == "bool" {
			words = append(words, "--"+f.Name)
			return
		}
		words = append(words, "--"+f.Name, shellQuote(f.Value.String()))
	})
	for _, in := range r.c.flags.inputs {
		if in.File != "" {
			words = append(words, "--var-file", shellQuote(in.File))
		} else {
			words = append(words, "--var", shellQuote(in.Name+"=…"))
		}
	}
	if r.file != "" {
		again := shellQuote(r.file)
		return strings.Join(append(words, "--out", again), " ") + " && lvsform apply " + again
	}
	return strings.Join(words, " ")
}

// shellQuote writes a word so that a POSIX shell reads it as one.
func shellQuote(word string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@,+%", r)
	}
	if word != "" && !slices.ContainsFunc([]rune(word), func(r rune) bool { return !safe(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
