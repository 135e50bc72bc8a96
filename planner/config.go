package planner

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// part names a topology's part of a program's configuration.
type part struct{ host, program string }

// configured is what the want of a Config is made of.
type configured struct {
	settings
	// table are the services and destinations that the program is to keep, as
	// they would be declared without it.
	table     desired
	resources []*topology.Resource
}

func (d *declarer) part(host, program string, r *topology.Resource) *configured {
	at := part{host, program}
	if d.configs[at] == nil {
		d.configs[at] = &configured{settings: settings{program: program}, table: desired{}}
	}
	c := d.configs[at]
	c.resources = append(c.resources, r)
	return c
}

func (d *declarer) instance(r *topology.Resource, b *topology.VRRPInstance) {
	c := d.part(r.Host, programKeepalived, r)
	if err := c.addInstance(b); err != nil {
		d.refused(r, err)
	}
}

// checked adds a service to what its checker keeps. One that stands in two
// blocks is what LVS009 is about.
func (d *declarer) checked(r *topology.Resource, b *topology.VirtualService, s state.Service, servers []want) {
	c := d.part(r.Host, b.Checker, r)
	if _, twice := c.table[s.Key()]; twice {
		return
	}
	var destinations []state.Destination
	c.table[s.Key()] = &want{object: s, resources: []*topology.Resource{r}, addresses: []string{r.Path}}
	for _, w := range servers {
		if key := w.object.Key(); c.table[key] == nil {
			c.table[key] = &w
			destinations = append(destinations, w.object.(state.Destination))
		}
	}
	v, err := keepalivedService(b, s, destinations)
	if b.Checker == programLdirectord {
		c.checks(b.HealthCheck)
		v, err = ldirectordService(b, s, destinations)
	}
	if err != nil {
		d.refused(r, err)
		return
	}
	if len(v.servers) > 0 || v.hasFallback {
		c.put(v)
	}
}

// refused reports what a program's configuration cannot say.
func (d *declarer) refused(r *topology.Resource, err error) {
	rng := r.Range
	text := err.Error()
	if len(r.Sensitive) > 0 {
		text = "A value of it, which may be sensitive, cannot be written there."
	}
	d.diags = append(d.diags, topology.Diagnostic{Severity: topology.Error, Host: r.Host, Object: r.Path, Range: &rng,
		Summary: unconfigurable(r.Path, r.Host), Detail: text})
}

func unconfigurable(path, host string) string {
	return fmt.Sprintf("%s cannot be configured on %s", path, host)
}

// configurations renders what belongs to each program, and wants the program to
// be there and to run.
func (d *declarer) configurations() {
	for _, at := range slices.SortedFunc(maps.Keys(d.configs), func(a, b part) int {
		return strings.Compare(a.host+" "+a.program, b.host+" "+b.program)
	}) {
		c := d.configs[at]
		if c.empty() {
			continue
		}
		text, err := c.render()
		if err != nil {
			d.unrendered(c, err)
			continue
		}
		w := &want{object: state.Config{Program: at.program, Topology: d.topology, Text: text}, config: c}
		for _, r := range c.resources {
			w.merge(&want{resources: []*topology.Resource{r}, addresses: []string{r.Path}})
		}
		d.hosts[at.host][w.object.Key()] = w
		d.imply(at, w)
	}
}

// unrendered finds out whose fault it is that a text cannot be rendered.
func (d *declarer) unrendered(c *configured, err error) {
	for _, r := range c.resources {
		alone := declarer{topology: d.topology, owners: d.owners, retired: d.retired, configs: map[part]*configured{},
			hosts: map[string]desired{r.Host: {}}}
		alone.resource(r)
		for _, own := range alone.configs {
			if _, err := own.render(); err != nil {
				d.refused(r, err)
				return
			}
		}
	}
	d.refused(c.resources[0], err)
}

// imply wants the packages that the program needs, and the program to run now and
// after a boot, where nothing else is declared of them.
func (d *declarer) imply(at part, config *want) {
	host := d.hosts[at.host]
	unit := state.Unit{Name: at.program, Running: state.Some(true), Enabled: state.Some(true)}
	objects := []state.Object{unit}
	for _, name := range config.config.packages() {
		objects = append(objects, state.Package{Name: name})
	}
	for _, o := range objects {
		w := &want{object: o, resources: config.resources, addresses: config.addresses}
		have := host[o.Key()]
		if have == nil {
			host[o.Key()] = w
			continue
		}
		have.merge(w)
		if u, ok := have.object.(state.Unit); ok {
			have.object = u.Resolve(unit)
		}
	}
}

// configs are a host's configurations, by program.
func (d desired) configs(topology string) []*want {
	var out []*want
	for _, program := range programs() {
		if w := d[state.Config{Program: program, Topology: topology}.Key()]; w != nil {
			out = append(out, w)
		}
	}
	return out
}

// checked finds a service or a destination that a program keeps.
func (d desired) checked(topology string, key state.Key) *want {
	for _, w := range d.configs(topology) {
		if in := w.config.table[key]; in != nil {
			return in
		}
	}
	return nil
}

// table finds a service or a destination, whoever keeps it.
func (d desired) table(topology string, key state.Key) *want {
	if w := d[key]; w != nil {
		return w
	}
	return d.checked(topology, key)
}
