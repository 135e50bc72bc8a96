package planner

import (
	"cmp"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/topology"
)

// locate finds what the address names.
func (x *explainer) locate(out *Explanation) bool {
	x.match = func(a string) bool { return within(a, out.Address) }
	if h := x.host(out.Address); h != nil {
		x.aHost(out, h)
		return true
	}
	path, server, isServer := strings.Cut(out.Address, ".real_server.")
	for _, r := range x.t.Resources {
		if r.Path == out.Address || isServer && r.Path == path {
			return x.aResource(out, r, server)
		}
	}
	return x.several(out)
}

// host finds a host by its name or by the address of its block.
func (x *explainer) host(address string) *topology.Host {
	for _, h := range x.t.Hosts {
		if address == h.Path || address == "host."+h.Name {
			return h
		}
	}
	return nil
}

func (x *explainer) aHost(out *Explanation, h *topology.Host) {
	out.Type, out.Host, x.onHost = "host", h.Name, h.Name
	out.place(h.Path, h.Range)
	owner := owners(x.t)
	for _, r := range x.t.Resources {
		if r.Host == h.Name {
			out.Below = append(out.Below, Below{r.Path, r.Host})
		}
		v, ok := r.Body.(*topology.VirtualService)
		if !ok {
			continue
		}
		for _, s := range v.RealServers {
			if s.Host == h.Name || s.Host == "" && owner[s.Address] == h.Name {
				out.ReferencedBy = append(out.ReferencedBy, r.Path+".real_server."+s.Name)
			}
		}
	}
}

// aResource explains a resource, or one real server of it.
func (x *explainer) aResource(out *Explanation, r *topology.Resource, server string) bool {
	out.Type, out.Host = r.Body.Type(), r.Host
	rng := r.Range
	if server != "" {
		v, ok := r.Body.(*topology.VirtualService)
		if !ok {
			return false
		}
		i := slices.IndexFunc(v.RealServers, func(s topology.RealServer) bool { return s.Name == server })
		if i < 0 {
			return false
		}
		out.Type = "real_server"
		out.ReferencedBy = append(out.ReferencedBy, r.Path)
		if s := v.RealServers[i]; s.Host != "" {
			if h := x.t.Host(s.Host); h != nil {
				out.DependsOn = append(out.DependsOn, h.Path)
			}
		}
		if !v.RealServers[i].Range.IsZero() {
			rng = v.RealServers[i].Range
		}
	}
	out.place(r.Path, rng)
	if server == "" {
		out.DependsOn = append(out.DependsOn, r.DependsOn...)
		for _, other := range x.t.Resources {
			if slices.Contains(other.DependsOn, r.Path) {
				out.ReferencedBy = append(out.ReferencedBy, other.Path)
			}
		}
	}
	return true
}

// several is a module, the instances of a block, or what only the ledgers know.
func (x *explainer) several(out *Explanation) bool {
	out.Type = "several"
	inside := map[string]bool{}
	for _, r := range x.t.Resources {
		if x.match(r.Path) {
			inside[r.Path] = true
			out.Below = append(out.Below, Below{r.Path, r.Host})
		}
	}
	for _, r := range x.t.Resources {
		for _, dep := range r.DependsOn {
			switch {
			case inside[r.Path] && !inside[dep]:
				out.DependsOn = append(out.DependsOn, dep)
			case !inside[r.Path] && inside[dep]:
				out.ReferencedBy = append(out.ReferencedBy, r.Path)
			}
		}
	}
	out.DependsOn = slices.Compact(slices.Sorted(slices.Values(out.DependsOn)))
	if len(out.Below) > 0 {
		out.Modules, out.Instance = steps(out.Address)
		if n := len(out.Modules); n > 0 && strings.HasSuffix(out.Address, out.Modules[n-1].written()) {
			out.Instance, out.Modules = out.Modules[n-1].Key, out.Modules[:n-1]
		}
		return true
	}
	if x.plan == nil {
		return false
	}
	gone := slices.ContainsFunc(x.plan.Changes, func(c Change) bool { return slices.ContainsFunc(c.Addresses, x.match) })
	if gone {
		out.Type = "no longer declared"
		out.Modules, out.Instance = steps(out.Address)
	}
	return gone
}

// place fills in where a block stands.
func (e *Explanation) place(path string, rng topology.Range) {
	if !rng.IsZero() {
		e.Declared = &rng
	}
	e.Modules, e.Instance = steps(path)
}

// steps are the modules of an address, and the instance key at its end.
func steps(path string) (modules []Instance, key string) {
	modules = []Instance{}
	for {
		rest, ok := strings.CutPrefix(path, "module.")
		if !ok {
			break
		}
		var step Instance
		step.Name, step.Key, rest = splitStep(rest)
		modules = append(modules, step)
		path = strings.TrimPrefix(rest, ".")
	}
	_, path, _ = strings.Cut(path, ".")
	_, key, _ = splitStep(path)
	return modules, key
}

// splitStep cuts `name["key"].rest` into its three parts.
func splitStep(path string) (name, key, rest string) {
	end := strings.IndexAny(path, ".[")
	if end < 0 {
		return path, "", ""
	}
	name, rest = path[:end], path[end:]
	if loc := instanceKey.FindStringIndex(rest); loc != nil && loc[0] == 0 {
		key, rest = rest[1:loc[1]-1], rest[loc[1]:]
	}
	return name, key, rest
}

// near are the addresses that differ least from a mistyped one.
func (x *explainer) near(address string) []string {
	const most = 3
	type candidate struct {
		address string
		far     int
	}
	var all []candidate
	consider := func(a string) {
		if far := distance(a, address); far <= max(3, len(address)/3) || strings.Contains(a, address) {
			all = append(all, candidate{a, far})
		}
	}
	seen := map[string]bool{}
	add := func(a string) {
		if !seen[a] {
			seen[a] = true
			consider(a)
		}
	}
	for _, h := range x.t.Hosts {
		add("host." + h.Name)
		add(h.Path)
	}
	for _, r := range x.t.Resources {
		add(r.Path)
		if i := strings.LastIndex(r.Path, "["); i > 0 {
			add(r.Path[:i])
		}
		if v, ok := r.Body.(*topology.VirtualService); ok {
			for _, s := range v.RealServers {
				add(r.Path + ".real_server." + s.Name)
			}
		}
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.far, b.far), strings.Compare(a.address, b.address))
	})
	var out []string
	for _, c := range all[:min(most, len(all))] {
		out = append(out, c.address)
	}
	return out
}

// distance is how many characters have to be inserted, left out or exchanged to
// make one text of the other.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			exchange := diagonal
			if a[i] != b[j] {
				exchange++
			}
			row[j+1] = min(above+1, row[j]+1, exchange)
			diagonal = above
		}
	}
	return row[len(b)]
}
