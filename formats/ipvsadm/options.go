package ipvsadm

import (
	"fmt"
	"slices"
	"strings"
)

// option is one option of ipvsadm(8), by its long name.
type option struct {
	short    byte // 0: none
	argument argument
	command  bool
}

type argument int

const (
	without argument = iota
	needed
	possible // taken unless the next word is an option
)

// options are those of ipvsadm 1.31 that a table can hold, and the commands
// that change one.
var options = map[string]option{
	"add-service":    {short: 'A', command: true},
	"edit-service":   {short: 'E', command: true},
	"delete-service": {short: 'D', command: true},
	"clear":          {short: 'C', command: true},
	"restore":        {short: 'R', command: true},
	"save":           {short: 'S', command: true},
	"add-server":     {short: 'a', command: true},
	"edit-server":    {short: 'e', command: true},
	"delete-server":  {short: 'd', command: true},
	"list":           {short: 'L', command: true},
	"zero":           {short: 'Z', command: true},
	"set":            {command: true},
	"start-daemon":   {argument: needed, command: true},
	"stop-daemon":    {argument: needed, command: true},

	"tcp-service":    {short: 't', argument: needed},
	"udp-service":    {short: 'u', argument: needed},
	"sctp-service":   {argument: needed},
	"fwmark-service": {short: 'f', argument: needed},
	"ipv6":           {short: '6'},
	"scheduler":      {short: 's', argument: needed},
	"sched-flags":    {short: 'b', argument: needed},
	"persistent":     {short: 'p', argument: possible},
	"netmask":        {short: 'M', argument: needed},
	"pe":             {argument: needed},
	"ops":            {short: 'o'},

	"real-server":  {short: 'r', argument: needed},
	"gatewaying":   {short: 'g'},
	"ipip":         {short: 'i'},
	"masquerading": {short: 'm'},
	"weight":       {short: 'w', argument: needed},
	"u-threshold":  {short: 'x', argument: needed},
	"l-threshold":  {short: 'y', argument: needed},
	"tun-type":     {argument: needed},
	"tun-port":     {argument: needed},
	"tun-nocsum":   {},
	"tun-csum":     {},
	"tun-remcsum":  {},

	"mcast-interface": {argument: needed},
	"syncid":          {argument: needed},
	"sync-maxlen":     {argument: needed},
	"mcast-group":     {argument: needed},
	"mcast-port":      {argument: needed},
	"mcast-ttl":       {argument: needed},
}

// shortName finds the option of a letter.
func shortName(c byte) string {
	if c == 'l' {
		return "list"
	}
	for name, o := range options {
		if o.short == c && c != 0 {
			return name
		}
	}
	return ""
}

// command is one line, its options by their long names.
type command struct {
	name   string
	values map[string]string
	rest   []string // the words that are no options
}

func (c command) has(name string) bool {
	_, ok := c.values[name]
	return ok
}

// parseCommand reads the words of a line as ipvsadm does: letters may stand
// together, and a value may be a word of its own or be joined to its option.
func parseCommand(words []string) (command, error) {
	c := command{values: map[string]string{}}
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		var err error
		switch {
		case strings.HasPrefix(word, "--") && len(word) > 2:
			words, err = c.long(word[2:], words)
		case strings.HasPrefix(word, "-") && len(word) > 1:
			words, err = c.letters(word[1:], words)
		default:
			c.rest = append(c.rest, word)
		}
		if err != nil {
			return c, err
		}
	}
	switch {
	case c.name == "":
		return c, mistake("the line has no command", "A line of a saved table begins with -A or -a.")
	case len(c.rest) > 0 && c.name != "set":
		return c, mistake(fmt.Sprintf("%q is no option", clip(c.rest[0])), "Write one command a line, as ipvsadm-save -n does.")
	}
	return c, nil
}

func (c *command) long(text string, words []string) ([]string, error) {
	name, value, joined := strings.Cut(text, "=")
	o, ok := options[name]
	switch {
	case !ok:
		return nil, unknown("--" + name)
	case joined && o.argument == without:
		return nil, mistake(fmt.Sprintf("--%s takes no value", name), "Take it out.")
	case joined:
		return words, c.set(name, value)
	}
	return c.value(name, words)
}

func (c *command) letters(text string, words []string) ([]string, error) {
	for i := range len(text) {
		name := shortName(text[i])
		if name == "" {
			return nil, unknown("-" + text[i:])
		}
		if options[name].argument == without {
			if err := c.set(name, ""); err != nil {
				return nil, err
			}
			continue
		}
		if rest := strings.TrimPrefix(text[i+1:], "="); rest != "" {
			return words, c.set(name, rest)
		}
		return c.value(name, words)
	}
	return words, nil
}

// value takes what an option needs from the following words.
func (c *command) value(name string, words []string) ([]string, error) {
	argument := options[name].argument
	here := len(words) > 0 && (argument == needed || !strings.HasPrefix(words[0], "-"))
	switch {
	case argument == without || argument == possible && !here:
		return words, c.set(name, "")
	case !here:
		return nil, mistake(fmt.Sprintf("%s has no value", spelled(name)), "The line seems to be cut off.")
	}
	return words[1:], c.set(name, words[0])
}

func (c *command) set(name, value string) error {
	if options[name].command {
		if c.name != "" {
			return mistake(fmt.Sprintf("%s and %s are two commands", spelled(c.name), spelled(name)), "Write one command a line.")
		}
		c.name = name
	}
	if c.has(name) {
		return mistake(spelled(name)+" stands there twice", "Take one of them out.")
	}
	c.values[name] = value
	return nil
}

// only refuses options that have no meaning for a command.
func (c command) only(names ...string) error {
	var extra []string
	for name := range c.values {
		if name != c.name && !slices.Contains(names, name) {
			extra = append(extra, name)
		}
	}
	if len(extra) == 0 {
		return nil
	}
	slices.Sort(extra)
	return mistake(fmt.Sprintf("%s has no meaning for %s", spelled(extra[0]), spelled(c.name)), "Take it out.")
}

// one returns the option of several that is there, or "".
func (c command) one(names ...string) (string, error) {
	found := ""
	for _, name := range names {
		switch {
		case !c.has(name):
		case found != "":
			return "", mistake(fmt.Sprintf("%s and %s exclude each other", spelled(found), spelled(name)), "Take one of them out.")
		default:
			found = name
		}
	}
	return found, nil
}

// spelled is an option as a saved table has it.
func spelled(name string) string {
	if short := options[name].short; short != 0 {
		return "-" + string(short)
	}
	return "--" + name
}

func unknown(word string) error {
	return mistake(fmt.Sprintf("%s is no option that is known here", clip(word)), "Save the table with ipvsadm-save -n; docs/ipvsadm.md lists what a table can hold.")
}
