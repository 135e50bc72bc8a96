package topology

import "fmt"

// Severity says whether a diagnostic stops the run.
type Severity string

const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Info    Severity = "info"
)

// Pos is a place in a file. Line and Column count from one, Column in
// characters; Byte counts from zero.
type Pos struct {
	Line   int `json:"line"`
	Column int `json:"column"`
	Byte   int `json:"byte"`
}

// Range is a stretch of a source file; the zero Range is no place at all.
type Range struct {
	File  string `json:"filename"`
	Start Pos    `json:"start"`
	End   Pos    `json:"end"`
}

// IsZero tells whether the range names no place.
func (r Range) IsZero() bool { return r.File == "" }

func (r Range) String() string {
	if r.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%s:%d,%d", r.File, r.Start.Line, r.Start.Column)
}

// Diagnostic is one finding about a configuration or a plan.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	// Check is the id of the LVS check that found it (LVS003), if one did.
	Check   string `json:"check,omitempty"`
	Summary string `json:"summary"` // what is wrong, one line
	Detail  string `json:"detail"`  // the cause, and what to write or do instead
	Host    string `json:"host,omitempty"`
	Object  string `json:"object,omitempty"` // the resource's address
	Range   *Range `json:"range,omitempty"`
	// Also are other places that take part in it.
	Also []Range `json:"also,omitempty"`
	// Source is the text of the line where Range starts, with sensitive
	// values blotted out; "" where there is none.
	Source string `json:"source,omitempty"`
}

// Diagnostics are collected, never stopped at the first.
type Diagnostics []Diagnostic

// HasErrors tells whether any diagnostic is an error.
func (ds Diagnostics) HasErrors() bool {
	for _, d := range ds {
		if d.Severity == Error {
			return true
		}
	}
	return false
}
