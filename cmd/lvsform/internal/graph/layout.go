package graph

// Picture is a drawing with a place for everything, in pixels.
type Picture struct {
	Title, Description string
	W, H               int
	Bars               []Bar // drawn first
	Lines              []Line
	Boxes              []Box
	Labels             []Text // outside boxes
	Markers            []Marker
}

// Box is a host, or the clients, with the texts in it.
type Box struct {
	Rect
	Class string // client, director, server or more
	Texts []Text
	Rules []int // the Y of lines across the box
}

// Bar is a network.
type Bar struct{ Rect }

// Line is a part of the way, with an arrow head at its end where Arrow says so.
type Line struct {
	Points []Point
	Back   bool
	Tunnel bool
	Arrow  bool
}

// Point is a place in the picture.
type Point struct{ X, Y int }

// Marker is the number of a leg on its line.
type Marker struct {
	Point
	Number int
	Back   bool
}

const (
	margin    = 28
	pad       = 12 // inside boxes
	rowHeight = 19 // of a text in a box
	barWidth  = 12
	radius    = 10 // of markers
	apart     = 12 // between real servers
	laneRoom  = 46 // below the boxes, for the way back
	noteRow   = 20 // of a caption
	bandGap   = 34 // between flows
	arrowRoom = 34 // between a bar and the box behind it
)

// columns are the X places that all flows of a picture share.
type columns struct {
	client, director, server Rect // X and W only
	left, right              int  // the middle of the bars
	bus                      int  // where answers leave the real servers
}

// Layout finds a place for everything.
func Layout(d Drawing) Picture {
	p := Picture{Title: d.Title, Description: description(d)}
	p.label(margin, margin+large, large, "title", shortened(orUnnamed(d.Title), 2*widest))
	p.label(margin, margin+large+24, small, "dim", p.Description)
	y := margin + large + 24 + bandGap
	bands := make([]band, len(d.Flows))
	for i, f := range d.Flows {
		bands[i] = newBand(f)
	}
	c := newColumns(bands)
	for _, b := range bands {
		y = p.band(b, c, y) + bandGap
	}
	if len(d.Others) > 0 {
		p.label(margin, y, small, "dim", "No service's packets pass: "+list(d.Others, 6))
		y += bandGap
	}
	p.legend(d, y)
	p.bounds()
	return p
}

func orUnnamed(name string) string {
	if name == "" {
		return "topology"
	}
	return name
}

func (p *Picture) label(x, y, size int, class, s string) {
	p.Labels = append(p.Labels, Text{X: x, Y: y, Size: size, Anchor: Start, Class: class, Text: s})
}

// newColumns makes every column as wide as its widest box, and every gap as wide
// as what is written in it.
func newColumns(bands []band) columns {
	var c columns
	var first, second int // room for the packets' addresses in the gaps
	for _, b := range bands {
		c.client.W = max(c.client.W, b.client.W)
		c.director.W = max(c.director.W, b.director.W)
		for _, s := range b.servers {
			c.server.W = max(c.server.W, s.W)
		}
		for _, l := range b.Legs {
			room := 3*radius + 14 + width(l.Packet, small)
			if l.From == Servers {
				continue // written on the lane below
			}
			if l.To == Servers {
				second = max(second, room)
			} else {
				first = max(first, room)
			}
		}
	}
	c.client.X = margin
	c.left = c.client.Right() + first + barWidth
	c.director.X = c.left + barWidth/2 + arrowRoom
	c.right = c.director.Right() + second + barWidth
	c.server.X = c.right + barWidth/2 + arrowRoom
	c.bus = c.server.Right() + 22
	return c
}

// bounds makes the picture as large as what is in it.
func (p *Picture) bounds() {
	grow := func(r Rect) {
		p.W, p.H = max(p.W, r.Right()+margin), max(p.H, r.Bottom()+margin)
	}
	for _, b := range p.Boxes {
		grow(b.Rect)
	}
	for _, t := range p.Labels {
		grow(t.Rect())
	}
	for _, l := range p.Lines {
		for _, at := range l.Points {
			grow(Rect{at.X, at.Y, 0, 0})
		}
	}
}
