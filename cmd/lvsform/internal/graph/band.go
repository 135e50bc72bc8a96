package graph

import "fmt"

// band is a flow with its boxes, which know their size but not their place.
type band struct {
	Flow
	client, director Box
	servers          []Box
	networks         []string // of servers, "" where it is not known
}

func newBand(f Flow) band {
	b := band{Flow: f, client: newBox("client", []Text{text(medium, "name", "Clients"), text(small, "", "CIP")}), director: directorBox(f)}
	for _, s := range f.Servers {
		b.servers = append(b.servers, serverBox(s))
		b.networks = append(b.networks, s.Network)
	}
	if f.More != "" {
		b.servers = append(b.servers, newBox("more", []Text{text(small, "dim", f.More)}))
		b.networks = append(b.networks, "")
	}
	return b
}

// newBox makes a box that is just large enough for its texts.
func newBox(class string, rows []Text) Box {
	b := Box{Class: class}
	for i := range rows {
		rows[i].X, rows[i].Y = pad, pad+i*rowHeight+rows[i].Size
		b.W = max(b.W, 2*pad+width(rows[i].Text, rows[i].Size))
	}
	b.Texts = rows
	b.H = 2*pad + len(rows)*rowHeight - (rowHeight - medium) + 2
	return b
}

// mostServices is how many services a director's box lists.
const mostServices = 12

func directorBox(f Flow) Box {
	var rows []Text
	for _, d := range f.Directors {
		rows = append(rows, text(medium, "name", d.Name), text(small, "", "DIP "+d.Address))
	}
	rules := []int{len(rows)}
	last := ""
	for i, s := range f.Services {
		if i == mostServices {
			rows = append(rows, text(small, "dim", fmt.Sprintf("… and %d more services", len(f.Services)-i)))
			break
		}
		if s.VIP != last {
			rows = append(rows, text(medium, "vip", vipTitle(s.VIP)))
			last = s.VIP
		}
		rows = append(rows, text(small, "", "  "+s.Text))
	}
	b := newBox("director", rows)
	for _, after := range rules {
		b.Rules = append(b.Rules, pad+after*rowHeight-1)
	}
	for i := range b.Texts[rules[0]:] {
		b.Texts[rules[0]+i].Y += 6
	}
	b.H += 6
	return b
}

func vipTitle(v string) string {
	if len(v) > 4 && v[:5] == "mark " {
		return v
	}
	return "VIP " + v
}

func serverBox(s Server) Box {
	rows := []Text{text(medium, "name", s.Name), text(small, "", "RIP "+s.Address), text(small, "dim", s.Weight)}
	for _, n := range s.Notes {
		rows = append(rows, text(small, "dim", n))
	}
	// Name and weight share the first row where there is room for both.
	first := width(rows[0].Text, medium) + 2*rowHeight + width(rows[2].Text, small)
	if first <= width(longestRIP, small) {
		weight := rows[2]
		rows = append(rows[:2], rows[3:]...)
		b := newBox("server", rows)
		b.W = max(b.W, 2*pad+first)
		weight.X, weight.Y, weight.Anchor = b.W-pad, b.Texts[0].Y, End
		b.Texts = append(b.Texts, weight)
		return b
	}
	return newBox("server", rows)
}

// longestRIP is what a real server's box is made to hold without growing.
const longestRIP = "RIP 2001:db8:1234:5678::1000:1111"

// at moves a box and what is in it; width is that of its column.
func (b Box) at(x, y, width int) Box {
	b.Rect = Rect{x, y, max(b.W, width), b.H}
	texts := make([]Text, len(b.Texts))
	for i, t := range b.Texts {
		if t.Anchor == End {
			t.X = b.W - pad
		}
		t.X, t.Y = t.X+x, t.Y+y
		texts[i] = t
	}
	b.Texts = texts
	rules := make([]int, len(b.Rules))
	for i, r := range b.Rules {
		rules[i] = r + y
	}
	b.Rules = rules
	return b
}

// band places one flow from y down and returns where it ends.
func (p *Picture) band(b band, c columns, y int) int {
	p.label(margin, y, medium+1, "heading", b.Mode.Title())
	top := y + 36 // below it the networks' names
	bottom := top
	servers := make([]Box, len(b.servers))
	for i, s := range b.servers {
		if i > 0 {
			bottom += apart
			if b.networks[i] != b.networks[i-1] {
				bottom += rowHeight
			}
		}
		servers[i] = s.at(c.server.X, bottom, c.server.W)
		bottom = servers[i].Bottom()
	}
	least := max(b.director.H, 84) // room for two lines to the client
	bottom = max(bottom, top+least)
	middle := top + (bottom-top)/2
	director := b.director.at(c.director.X, middle-b.director.H/2, c.director.W)
	client := b.client.at(c.client.X, middle-b.client.H/2, c.client.W)
	if n := len(servers); n > 0 {
		// A column that is shorter than the director stands beside its middle.
		down := middle - (servers[0].Y+servers[n-1].Bottom())/2
		for i, s := range b.servers {
			servers[i] = s.at(c.server.X, servers[i].Y+max(0, down), c.server.W)
		}
	}
	p.Boxes = append(append(p.Boxes, client, director), servers...)
	lane := bottom + laneRoom - 12
	p.bars(b, c, placed{client, director, servers, lane})
	p.ways(b, c, placed{client, director, servers, lane})
	if b.Mode == None {
		lane = bottom
	}
	return p.captions(b, lane+noteRow+14)
}

// bars draws the networks: that of the VIP, and those of the real servers.
func (p *Picture) bars(b band, c columns, at placed) {
	bar := func(x, top, bottom int, name string) {
		p.Bars = append(p.Bars, Bar{Rect{x - barWidth/2, top, barWidth, bottom - top}})
		p.label(x+barWidth/2, top-5, small, "network", name) // beside the line that runs along the bar
	}
	if b.Outside != "" {
		top, bottom := min(at.client.Y, at.director.Y)-6, at.client.Bottom()+14
		if b.Mode.Straight() {
			bottom = at.lane + 8
		}
		bar(c.left, top, bottom, b.Outside)
	}
	for from := 0; from < len(at.servers); {
		to := from
		for to+1 < len(at.servers) && b.networks[to+1] == b.networks[from] {
			to++
		}
		if b.networks[from] != "" {
			bar(c.right, at.servers[from].Y, at.servers[to].Bottom(), b.networks[from])
		}
		from = to + 1
	}
}

// captions says in words what the numbers stand for.
func (p *Picture) captions(b band, y int) int {
	words := 0
	for _, l := range b.Legs {
		words = max(words, width(l.Packet, small))
	}
	for i, l := range b.Legs {
		p.Markers = append(p.Markers, Marker{Point{margin + radius, y - 4}, i + 1, l.Back()})
		p.label(margin+3*radius, y, small, wayClass(l.Back()), l.Packet)
		p.label(margin+3*radius+words+16, y, small, "", l.Caption)
		y += noteRow + 3
	}
	return y
}
