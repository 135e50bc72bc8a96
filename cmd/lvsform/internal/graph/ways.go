package graph

import (
	"fmt"
	"strings"
)

// placed are the boxes of a flow at their places; lane is the Y of the way back
// below them.
type placed struct {
	client, director Box
	servers          []Box
	lane             int
}

// ways draws the legs of a flow.
func (p *Picture) ways(b band, c columns, at placed) {
	for i, l := range b.Legs {
		switch {
		case l.From == Clients:
			y := at.director.Middle()
			if !b.Mode.Straight() && b.Mode != None {
				y -= 17 // the other line is the way back
			}
			p.line(l, true, Point{at.client.Right(), y}, Point{at.director.X, y})
			p.mark(l, i, at.client.Right(), y, y-7)
		case l.From == Directors && l.To == Clients:
			y := at.director.Middle() + 17
			p.line(l, true, Point{at.director.X, y}, Point{at.client.Right(), y})
			p.Markers = append(p.Markers, Marker{Point{at.director.X - arrowRoom/2, y}, i + 1, true})
			p.label(at.client.Right()+3*radius+6, y+small+5, small, wayClass(true), l.Packet)
		case l.From == Directors:
			p.toServers(l, i, c, at)
		default:
			p.fromServers(l, i, c, at)
		}
	}
}

func (p *Picture) line(l Leg, arrow bool, points ...Point) {
	p.Lines = append(p.Lines, Line{Points: points, Back: l.Back(), Tunnel: l.Tunnel, Arrow: arrow})
}

// mark puts a leg's number on its line, and the packet's addresses beside it.
func (p *Picture) mark(l Leg, i, x, y, textY int) {
	p.Markers = append(p.Markers, Marker{Point{x + 2*radius, y}, i + 1, l.Back()})
	p.label(x+3*radius+6, textY, small, wayClass(l.Back()), l.Packet)
}

func wayClass(back bool) string {
	if back {
		return "back"
	}
	return "there"
}

// toServers goes from the director to the networks' bar, along it, and to each
// real server.
func (p *Picture) toServers(l Leg, i int, c columns, at placed) {
	y := at.director.Middle()
	p.line(l, false, Point{at.director.Right(), y}, Point{c.right, y})
	top, bottom := y, y
	for _, s := range at.servers {
		top, bottom = min(top, s.Middle()), max(bottom, s.Middle())
	}
	if top != bottom {
		p.line(l, false, Point{c.right, top}, Point{c.right, bottom})
	}
	for _, s := range at.servers {
		p.line(l, true, Point{c.right, s.Middle()}, Point{s.X, s.Middle()})
	}
	p.mark(l, i, at.director.Right(), y, y-7)
}

// fromServers goes out behind the real servers and below everything, to the
// client or to the director.
func (p *Picture) fromServers(l Leg, i int, c columns, at placed) {
	for n, s := range at.servers {
		if n > 0 {
			p.line(l, false, Point{s.Right(), s.Middle()}, Point{c.bus, s.Middle()})
		}
	}
	end := at.client
	if l.To == Directors {
		end = at.director
	}
	x := end.X + end.W/2
	first := at.servers[0]
	p.line(l, true, Point{first.Right(), first.Middle()}, Point{c.bus, first.Middle()},
		Point{c.bus, at.lane}, Point{x, at.lane}, Point{x, end.Bottom()})
	from := at.director.Right() // the writing stands clear of the lines that go up
	p.mark(l, i, from, at.lane, at.lane-7)
}

// legend explains colours and abbreviations.
func (p *Picture) legend(d Drawing, y int) {
	var there, back, tunnel, network bool
	for _, f := range d.Flows {
		for _, l := range f.Legs {
			there, back, tunnel = true, back || l.Back(), tunnel || l.Tunnel
		}
		network = network || f.Outside != ""
		for _, s := range f.Servers {
			network = network || s.Network != ""
		}
	}
	x := margin
	sample := func(wanted bool, name string, l Line) {
		if !wanted {
			return
		}
		l.Points, l.Arrow = []Point{{x, y - 4}, {x + 36, y - 4}}, true
		p.Lines = append(p.Lines, l)
		p.label(x+44, y, small, "", name)
		x += 44 + width(name, small) + 28
	}
	sample(there, "the way there", Line{})
	sample(tunnel, "in a tunnel", Line{Tunnel: true})
	sample(back, "the way back", Line{Back: true})
	if network {
		p.Bars = append(p.Bars, Bar{Rect{x, y - 12, barWidth, 16}})
		p.label(x+barWidth+8, y, small, "", "a network")
	}
	if there {
		p.label(margin, y+24, small, "dim",
			"CIP the client's address · VIP the virtual address · DIP the director's · RIP a real server's")
	} else {
		p.label(margin, y, small, "dim", "The configuration declares no virtual service: no packet has a way to draw.")
	}
}

// description says in one line what there is to see.
func description(d Drawing) string {
	directors, servers := map[string]bool{}, map[string]bool{}
	hidden := 0
	for _, f := range d.Flows {
		for _, h := range f.Directors {
			directors[h.Name] = true
		}
		for _, s := range f.Servers {
			servers[s.Name] = true
		}
		hidden += f.more
	}
	return strings.Join([]string{count(d.Services, "virtual service"), count(len(directors), "director"),
		count(len(servers)+hidden, "real server")}, ", ")
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// list names the first few.
func list(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
