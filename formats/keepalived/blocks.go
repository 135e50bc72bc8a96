package keepalived

import (
	"slices"

	"github.com/lvsform/lvsform/state"
)

// Block is a block of a text that a part of the Config comes from.
type Block struct {
	// First and Last are its lines, from 1. Alone tells that nothing else stands
	// on them.
	First, Last int
	Alone       bool
	SyncGroup   string            // of a vrrp_sync_group
	Instance    string            // of a vrrp_instance
	Services    []state.ServiceID // of a virtual_server
}

// Blocks are the blocks of what Parse makes of a text, by line.
func Blocks(text string) ([]Block, error) {
	p, statements, err := parse(text)
	if err != nil {
		return nil, err
	}
	at := map[*statement]*Block{}
	block := func(object string) *Block {
		s := p.where[object]
		if at[s] == nil {
			at[s] = &Block{First: s.line, Last: s.last, Alone: alone(statements, s)}
		}
		return at[s]
	}
	for _, g := range p.config.SyncGroups {
		block("vrrp_sync_group " + g.Name).SyncGroup = g.Name
	}
	for _, i := range p.config.Instances {
		block("vrrp_instance " + i.Name).Instance = i.Name
	}
	for _, s := range p.config.Services {
		b := block("virtual_server " + s.ServiceID.String())
		b.Services = append(b.Services, s.ServiceID)
	}
	var out []Block
	for _, b := range at {
		out = append(out, *b)
	}
	slices.SortFunc(out, func(a, b Block) int { return a.First - b.First })
	return out, nil
}

// alone tells whether no other statement of the text has a line of one's.
func alone(statements []*statement, one *statement) bool {
	return !slices.ContainsFunc(statements, func(s *statement) bool {
		return s != one && s.line <= one.last && s.last >= one.line
	})
}
