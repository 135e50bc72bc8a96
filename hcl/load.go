// Package hcl turns configuration files into a topology.
package hcl

import (
	"cmp"
	"io/fs"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/lvsform/lvsform/sources"
	"github.com/lvsform/lvsform/topology"
	"github.com/zclconf/go-cty/cty/function"
)

// Options say what to load and with which values.
type Options struct {
	// Dir is the directory of the root module; "" is the working directory.
	// Relative paths of --var-file and of functions start there.
	Dir string
	// Inputs are --var and --var-file in the order given: later ones win.
	Inputs []Input
	// Environ is the environment as os.Environ returns it; only names that
	// begin with LVSFORM_VAR_ are read.
	Environ []string
	// Version is that of the running program, against which required_version
	// is checked; a version that is no x.y.z (a development build) satisfies
	// everything.
	Version string
	// Embedded holds the modules of the sources lvsform://NAME, one directory
	// each; nil means the ones built in.
	Embedded fs.FS
}

// Input is one value, or one file of values, from the command line.
type Input struct {
	Name, Value string // --var NAME=VALUE
	File        string // --var-file FILE
}

// loader is the state of one Load.
type loader struct {
	opts      Options
	r         *reporter
	b         *budget
	schemas   schemas
	functions map[string]function.Function
	configs   map[string]*config
	tokens    int      // of all files read so far
	signs     int      // of all files, see signs
	stack     []string // what is being evaluated, outermost first
	hosts     []*topology.Host
	resources []*resource
	hostRefs  []hostRef
	poisoned  bool // a value was unknown
	outputs   []topology.Output
	removed   []topology.Removed
	lock      *sources.Lock // nil: not read yet
	checkouts map[sources.Repository]*checkout
	listing   *[]GitModule // not nil: only the git sources are wanted
}

// Load reads the configuration of a directory and evaluates it. It returns
// every mistake that it finds. The topology is never nil; with errors among
// the diagnostics it is incomplete and must not be applied.
func Load(opts Options) (*topology.Topology, topology.Diagnostics) {
	c, diags := LoadConfig(opts)
	return c.Topology, diags
}

func newLoader(opts Options) *loader {
	if opts.Dir == "" {
		opts.Dir = "."
	}
	if opts.Embedded == nil {
		opts.Embedded = builtin()
	}
	l := &loader{
		opts:    opts,
		r:       newReporter(),
		b:       newBudget(),
		schemas: newSchemas(),
		configs: map[string]*config{},

		checkouts: map[sources.Repository]*checkout{},
	}
	l.functions = newFunctions(l)
	return l
}

func (l *loader) load() (*topology.Topology, *module) {
	c := l.config(directory{dir: l.opts.Dir, name: "."})
	t := &topology.Topology{}
	if c.topology != nil {
		t.Name, t.Range = c.topology.name, toRange(c.topology.rng)
	} else if !c.broken {
		l.r.error(hcl.Range{}, "No topology block",
			"The root directory must name its topology once, under which things are owned on hosts. Write: topology \"web\" {}")
	}
	l.settings(c, t)
	root := l.newModule(nil, c, "")
	root.inputs = l.rootInputs(c)
	root.count()
	root.evaluate()
	if !l.done() {
		l.link()
	}
	if l.b.exhausted && !l.r.found.HasErrors() {
		l.r.error(hcl.Range{}, "Value too large", exhaustedText)
	}
	t.Hosts, t.Removed, t.Outputs = l.hosts, l.removed, l.outputs
	slices.SortFunc(t.Hosts, func(a, b *topology.Host) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(t.Outputs, func(a, b topology.Output) int { return cmp.Compare(a.Name, b.Name) })
	for _, r := range l.resources {
		t.Resources = append(t.Resources, &r.Resource)
	}
	slices.SortFunc(t.Resources, func(a, b *topology.Resource) int { return cmp.Compare(a.Path, b.Path) })
	return t, root
}
