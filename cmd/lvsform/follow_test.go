package main

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
)

// heard is a progress display that keeps what it is told.
type heard struct {
	quiet
	words []string
}

func (h *heard) set(_, text string)  { h.words = append(h.words, text) }
func (h *heard) note(_, text string) { h.words = append(h.words, text) }

// What is cut off because its time was over is told, and what ended is not.
func TestFollowerTellsWhatADrainLeft(t *testing.T) {
	destination := func(server string) (drain, remove planner.Change) {
		d := state.Destination{Service: state.ServiceID{Protocol: "tcp", Address: netip.MustParseAddr("192.0.2.1"), Port: 80, Family: "ipv4"},
			Address: netip.MustParseAddr(server), Port: 80}
		drain = planner.Change{ID: server + " drain", Host: "dir1", Addresses: []string{server}, Action: planner.Update, Before: d, After: d, Drain: time.Minute}
		return drain, planner.Change{ID: server, Host: "dir1", Addresses: []string{server}, Action: planner.Delete, Before: d}
	}
	drain1, remove1 := destination("192.0.2.11")
	drain2, remove2 := destination("192.0.2.12")
	h := &heard{}
	f := newFollower(&planner.Plan{Changes: []planner.Change{drain1, drain2, remove1, remove2}}, h)
	f.Draining(drain1, 3)
	f.Draining(drain2, 4)
	f.Draining(drain1, 0)
	f.Draining(drain2, 1)
	f.Done(remove1)
	f.Done(remove2)
	want := []string{
		"draining " + planner.Title(drain1.After) + ": 3 connections left",
		"draining 2 destinations: 7 connections left",
		"draining 2 destinations: 4 connections left",
		"draining 2 destinations: 1 connection left",
		"192.0.2.11 removed (" + planner.Title(drain1.After) + ")", "1 of 4 changes made",
		"192.0.2.12 removed with 1 connection open (" + planner.Title(drain2.After) + ")", "2 of 4 changes made",
	}
	if diff := cmp.Diff(want, h.words); diff != "" {
		t.Error(diff)
	}
}
