package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/cmd/lvsform/internal/view"
	"github.com/lvsform/lvsform/formats/ipvsadm"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

type importFlags struct {
	from, host, address, out string
	realServers              bool
}

func (c *cli) importCommand() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import FILE|HOST",
		Short: "Write a configuration for what is there already",
		Long: `Turns what a director has into a configuration whose first plan only adopts it. With
--from ipvsadm FILE is what ipvsadm-save -n (ipvsadm -S -n) printed there, with --from
keepalived its keepalived.conf, with --from ldirectord its ldirectord.cf, - is stdin, and
no host is contacted. With --from live the table is read from HOST, by SSH, and with
--real-servers also what its real servers are like, which then are managed by the modules
that fit; nothing is changed there. What the configuration cannot say is listed on stderr.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.checkFlags(cmd); err != nil {
				return err
			}
			director, err := f.director(args[0])
			if err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			switch f.from {
			case fromLive:
				return c.importLive(cmd.Context(), director, f.realServers, f.out)
			case fromKeepalived, fromLdirectord:
				return c.importConfig(f.from, args[0], director, f.out)
			}
			return c.importTable(args[0], director, f.out)
		},
	}
	c.connectFlags(cmd.Flags())
	cmd.Flags().StringVar(&f.from, "from", "", "`WHERE` it comes from: ipvsadm, keepalived, ldirectord or live")
	cmd.Flags().StringVar(&f.host, "host", "dir1", "call the director `NAME`")
	cmd.Flags().StringVar(&f.address, "address", "", "the director's own `ADDRESS`, by which it is reached")
	cmd.Flags().BoolVar(&f.realServers, "real-servers", false, "with --from live: read the real servers too, by SSH at their addresses in the table")
	cmd.Flags().StringVar(&f.out, "out", "", "write to `FILE`, which must not be there yet, instead of stdout")
	return cmd
}

// Where a configuration comes from.
const (
	fromTable      = "ipvsadm"
	fromLive       = "live"
	fromKeepalived = "keepalived"
	fromLdirectord = "ldirectord"
)

// director is the host that the command line describes. A live one that is named
// by its address needs no other.
func (f importFlags) director(arg string) (*topology.Host, error) {
	if !slices.Contains([]string{fromTable, fromLive, fromKeepalived, fromLdirectord}, f.from) {
		return nil, fmt.Errorf("--from takes ipvsadm, keepalived, ldirectord or live, not %q", f.from)
	}
	if f.realServers && f.from != fromLive {
		return nil, errors.New("--real-servers is for --from live: a file says nothing of them")
	}
	var ssh topology.SSH
	if f.from == fromLive {
		switch _, err := netip.ParseAddr(arg); {
		case f.address == "" && err == nil:
			f.address = arg
		case f.address != arg:
			ssh.Address = arg
		}
	}
	address, err := netip.ParseAddr(f.address)
	if err != nil || address.Zone() != "" {
		return nil, fmt.Errorf("--address is the director's own IP address, not %q", f.address)
	}
	if !isName(f.host) {
		return nil, fmt.Errorf("--host takes a name of letters, digits, - and _ that begins with a letter, not %q", f.host)
	}
	return &topology.Host{Name: f.host, Path: "host." + f.host, Address: address, SSH: ssh, Managed: true}, nil
}

// isName tells whether a text can stand in an expression: host.NAME.
func isName(text string) bool {
	for i, r := range text {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || (r < '0' || r > '9') && r != '-' && r != '_') {
			return false
		}
	}
	return text != "" && len(text) <= 63
}

func (c *cli) importTable(file string, director *topology.Host, out string) error {
	text, err := c.readFile(file)
	if err != nil {
		return err
	}
	table, err := ipvsadm.Parse(text)
	var mistakes ipvsadm.Mistakes
	if errors.As(err, &mistakes) {
		c.diagnose(tableMistakes(file, text, mistakes))
		return silent(exitError)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	var notes topology.Diagnostics
	for _, n := range table.Notes {
		d := topology.Diagnostic{Severity: topology.Info, Summary: n.Text}
		d.Range, d.Source = place(file, text, n.Line)
		notes = append(notes, d)
	}
	if !table.Thresholds {
		notes = append(notes, topology.Diagnostic{Severity: topology.Info, Summary: "ipvsadm-save saves no thresholds",
			Detail: "Where `ipvsadm -Ln --thresholds` lists some on the director, add upper_threshold and lower_threshold, or the first plan takes them away."})
	}
	im, err := carryOver(director, table.Objects)
	if err != nil {
		return err
	}
	return c.writeTable(im, notes, out)
}

// importLive imports the table that a host has now, with what its real servers
// are like if they are to be read.
func (c *cli) importLive(ctx context.Context, director *topology.Host, realServers bool, out string) error {
	live, errs, err := c.look(ctx, []machine{{name: director.Name, address: director.Address.String(), ssh: director.SSH}}, nil)
	if err = cmp.Or(err, errs[director.Name]); err != nil {
		return err
	}
	var objects state.Objects
	for _, o := range live[director.Name].Objects {
		// The times of every director are no part of what somebody made there.
		if ipvsadm.Holds(o) && o != state.Object(state.DefaultTimeouts) {
			objects = append(objects, o)
		}
	}
	im, err := carryOver(director, objects)
	if err != nil {
		return err
	}
	var notes topology.Diagnostics
	if realServers && len(im.carried) > 0 {
		if notes, err = c.addModules(ctx, director, im); err != nil {
			return err
		}
	}
	if len(im.carried) > 0 {
		top, err := loadText(im.text, nil)
		if err != nil {
			return err
		}
		for _, d := range findings(planner.Build(planner.Input{Topology: top, Live: live, Version: buildVersion()})) {
			if d.Severity == topology.Error && d.Check == "LVS007" { // here it is known where the VIPs are
				d.Range, d.Also = nil, nil
				im.wrong = append(im.wrong, d)
			}
		}
	}
	return c.writeTable(im, notes, out)
}

// look reads hosts without a configuration. What more it is to read is asked of
// when all have been read once.
func (c *cli) look(ctx context.Context, machines []machine, more func(map[string]planner.Live) map[string]planner.Names) (
	live map[string]planner.Live, errs map[string]error, err error) {
	bar := c.newProgress(len(machines))
	defer bar.close()
	f, err := c.newFleet(machines, bar)
	if err != nil {
		return nil, nil, err
	}
	defer f.close()
	seen := f.newObservations()
	f.connect(ctx, seen.read(ctx))
	if more != nil {
		queries := more(seen.live)
		for i, m := range f.machines {
			f.machines[i].query = queries[m.name]
		}
		seen = f.newObservations()
		f.all(seen.read(ctx))
	}
	if ctx.Err() != nil {
		return nil, nil, errors.New("interrupted; nothing was changed")
	}
	return seen.live, f.errs, nil
}

// writeTable writes the configuration of a table, then what there is to know
// about it.
func (c *cli) writeTable(im *imported, notes topology.Diagnostics, out string) error {
	if len(im.carried) == 0 {
		c.diagnose(im.left)
		return &hintError{errors.New("there is no service that could be imported"), "The table of a director that serves is not empty: see ipvsadm -Ln there."}
	}
	if err := c.writeImported(im.text, out); err != nil {
		return err
	}
	c.diagnose(slices.Concat(notes, im.left, im.wrong))
	next := "The first plan adopts them."
	if len(im.wrong) > 0 {
		next = "Mend the errors above in it before the first plan."
	}
	if out != "" {
		services := view.Count(count[state.Service](im.carried), "virtual service")
		if im.modules > 0 {
			services += " (" + view.Count(im.modules, "module") + ")"
		}
		c.say(fmt.Sprintf("%s: %s and %s. %s", out, services, view.Count(count[state.Destination](im.carried), "real server"), next))
	}
	return nil
}

func count[T state.Object](objects state.Objects) int {
	n := 0
	for _, o := range objects {
		if _, ok := o.(T); ok {
			n++
		}
	}
	return n
}

// readFile reads what is imported, of which more than can be parsed is never read.
func (c *cli) readFile(file string) ([]byte, error) {
	var in io.Reader = c.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // it is only read
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, ipvsadm.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return text, nil
}

// writeImported writes to a new file, or to stdout.
func (c *cli) writeImported(text []byte, out string) error {
	if out == "" {
		c.print(func(w io.Writer) { w.Write(text) }) //nolint:errcheck // to memory
		return nil
	}
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return &hintError{fmt.Errorf("%s is there already", out), "import overwrites nothing: name another file."}
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %w", out, errors.Join(err, os.Remove(out)))
	}
	return nil
}

func tableMistakes(file string, text []byte, mistakes ipvsadm.Mistakes) topology.Diagnostics {
	var out topology.Diagnostics
	for _, m := range mistakes {
		d := topology.Diagnostic{Severity: topology.Error, Summary: m.Cause, Detail: m.Fix}
		if m.Line > 0 {
			d.Range, d.Source = place(file, text, m.Line)
		}
		out = append(out, d)
	}
	return out
}

// place is a whole line of a text, and the line.
func place(file string, text []byte, line int) (*topology.Range, string) {
	source := sourceOf(text, line)
	return &topology.Range{File: file, Start: topology.Pos{Line: line, Column: 1},
		End: topology.Pos{Line: line, Column: len([]rune(source)) + 1}}, source
}

// sourceOf is a line of a text, cut where nobody reads on.
func sourceOf(text []byte, line int) string {
	const most = 200
	n := 0
	for l := range strings.Lines(string(text)) {
		if n++; n == line {
			runes := []rune(strings.TrimRight(l, "\r\n"))
			return string(runes[:min(len(runes), most)])
		}
	}
	return ""
}
