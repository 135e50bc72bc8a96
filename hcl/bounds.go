package hcl

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// The bounds of what one configuration may hold. They are far above what a
// cluster needs and far below what a controller cannot bear.
const (
	maxFileSize   = 1 << 20   // bytes of one configuration file
	maxTokens     = 250_000   // words and signs of one file
	maxAllTokens  = 500_000   // of all files
	maxFiles      = 1000      // in one directory
	maxNesting    = 100       // brackets, quotes and templates inside each other
	maxCopied     = 256 << 20 // bytes that the parser copies for the texts of a file
	maxChain      = 1000      // operators and indexes one after the other
	maxExponent   = 400       // of a number: 1e400
	maxBits       = 2048      // of a number's value
	maxString     = 1 << 20   // bytes of one text value
	maxValue      = 500_000   // leaves of one value
	maxValueDepth = 100       // collections inside each other
	maxInstances  = 16_384    // of one for_each or count
	maxTotal      = 300_000   // instances in the whole topology, a module for twenty
	maxModules    = 20        // modules inside each other
	maxReferences = 1000      // values that depend on each other in one chain
)

// nestingError says that text is nested too deeply at a place.
type nestingError struct {
	rng  hcl.Range
	what string
}

func (e *nestingError) diagnostics() hcl.Diagnostics {
	return hcl.Diagnostics{{
		Severity: hcl.DiagError,
		Summary:  "Too deeply nested or too long",
		Detail:   e.what,
		Subject:  &e.rng,
	}}
}

func tooManyTokens(filename string) hcl.Diagnostics {
	rng := fileRange(filename)
	return hcl.Diagnostics{{
		Severity: hcl.DiagError,
		Summary:  "The file is too large",
		Detail:   fmt.Sprintf("A file may hold %d words and signs. Split it.", maxTokens),
		Subject:  &rng,
	}}
}

// signs counts the signs that are tokens of their own, outside of texts and
// comments at least: no file has fewer tokens than signs, but for those.
func signs(src []byte) int {
	n := 0
	for _, c := range src {
		switch c {
		case '[', ']', '{', '}', '(', ')', ',', '.', '=':
			n++
		}
	}
	return n
}

// checkTokens counts nesting on tokens, because the parser recurses without a
// bound and dies on a file of opening brackets.
func checkTokens(tokens hclsyntax.Tokens) hcl.Diagnostics {
	n := nestCounter{stack: []nestLevel{{}}}
	for i, t := range tokens {
		if err := n.token(tokens, i, t); err != nil {
			return err.diagnostics()
		}
	}
	return nil
}

// nestLevel is one open bracket: chain counts the operators since the last
// separator, lines tells whether a newline separates.
type nestLevel struct {
	chain int
	lines bool
}

type nestCounter struct {
	stack    []nestLevel
	chains   int // the sum of all chain counters
	controls int // %{ if } and %{ for } that are open
	text     int // bytes of the pieces of text that follow each other
	copied   int // bytes that the parser copies to put them together
}

// piece counts a piece of text. The parser appends it to the ones before, all
// of which it copies each time.
func (n *nestCounter) piece(t hclsyntax.Token) *nestingError {
	n.text += len(t.Bytes)
	if n.copied += n.text; n.copied > maxCopied {
		return &nestingError{t.Range, "The text has too many lines, percent and dollar signs for its length. Read it from a file: file(\"…\")."}
	}
	return nil
}

func (n *nestCounter) token(tokens hclsyntax.Tokens, i int, t hclsyntax.Token) *nestingError {
	if t.Type == hclsyntax.TokenQuotedLit || t.Type == hclsyntax.TokenStringLit {
		return n.piece(t)
	}
	n.text = 0
	switch t.Type {
	case hclsyntax.TokenOBrack:
		n.link() // an index nests what stands before it
		n.open(false)
	case hclsyntax.TokenOBrace:
		n.open(!startsFor(tokens[i+1:]))
	case hclsyntax.TokenOParen, hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc, hclsyntax.TokenTemplateInterp:
		n.open(false)
	case hclsyntax.TokenTemplateControl:
		n.open(false)
		n.control(tokens[i+1:])
	case hclsyntax.TokenCBrack, hclsyntax.TokenCBrace, hclsyntax.TokenCParen, hclsyntax.TokenCQuote,
		hclsyntax.TokenCHeredoc, hclsyntax.TokenTemplateSeqEnd:
		n.close()
	case hclsyntax.TokenComma, hclsyntax.TokenEqual:
		n.separate()
	case hclsyntax.TokenNewline:
		if len(n.stack) == 1 || n.top().lines {
			n.separate()
		}
	case hclsyntax.TokenNumberLit:
		return checkNumberToken(t)
	default:
		if isOperator(t.Type) {
			n.link()
		}
	}
	if len(n.stack)-1+n.controls > maxNesting {
		return &nestingError{t.Range, fmt.Sprintf("Brackets, quotes and templates may stand inside each other %d deep. Move an inner part to a local value.", maxNesting)}
	}
	if n.chains > maxChain {
		return &nestingError{t.Range, fmt.Sprintf("One expression may hold %d operators. Split it into local values.", maxChain)}
	}
	return nil
}

func (n *nestCounter) top() *nestLevel { return &n.stack[len(n.stack)-1] }

func (n *nestCounter) open(lines bool) { n.stack = append(n.stack, nestLevel{lines: lines}) }

func (n *nestCounter) close() {
	if len(n.stack) > 1 {
		n.chains -= n.top().chain
		n.stack = n.stack[:len(n.stack)-1]
	}
}

func (n *nestCounter) link() {
	n.top().chain++
	n.chains++
}

func (n *nestCounter) separate() {
	n.chains -= n.top().chain
	n.top().chain = 0
}

func (n *nestCounter) control(rest hclsyntax.Tokens) {
	if len(rest) == 0 {
		return
	}
	switch string(rest[0].Bytes) {
	case "if", "for":
		n.controls++
	case "endif", "endfor":
		n.controls = max(0, n.controls-1)
	}
}

// startsFor tells whether a brace opens a for expression, where newlines do
// not separate.
func startsFor(rest hclsyntax.Tokens) bool {
	for _, t := range rest {
		switch t.Type {
		case hclsyntax.TokenNewline, hclsyntax.TokenComment:
			continue
		}
		return t.Type == hclsyntax.TokenIdent && string(t.Bytes) == "for"
	}
	return false
}

func isOperator(t hclsyntax.TokenType) bool {
	switch t {
	case hclsyntax.TokenPlus, hclsyntax.TokenMinus, hclsyntax.TokenStar, hclsyntax.TokenSlash, hclsyntax.TokenPercent,
		hclsyntax.TokenAnd, hclsyntax.TokenOr, hclsyntax.TokenBang, hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual,
		hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq, hclsyntax.TokenGreaterThan, hclsyntax.TokenGreaterThanEq,
		hclsyntax.TokenQuestion, hclsyntax.TokenDot, hclsyntax.TokenFatArrow:
		return true
	}
	return false
}

func checkNumberToken(t hclsyntax.Token) *nestingError {
	if len(t.Bytes) > maxExponent || hugeExponent(string(t.Bytes)) {
		return &nestingError{t.Range, fmt.Sprintf("The number has more than %d digits.", maxExponent)}
	}
	return nil
}

// hugeExponent tells whether a text is a number like 1e1000000, whose digits
// nobody wants to see.
func hugeExponent(s string) bool {
	i := strings.LastIndexAny(s, "eE")
	if i < 0 {
		return false
	}
	digits := strings.TrimLeft(s[i+1:], "+-")
	if digits == "" || strings.Trim(digits, "0123456789") != "" || strings.Trim(s[:i], "+-.0123456789 ") != "" {
		return false
	}
	e, err := strconv.Atoi(digits)
	return err != nil || e > maxExponent
}

func hugeNumber(f *big.Float) bool {
	if f.IsInf() || f.Sign() == 0 {
		return false
	}
	e := f.MantExp(nil)
	return e > maxBits || e < -maxBits || f.MinPrec() > maxBits
}

// checkJSONNesting counts brackets outside of strings.
func checkJSONNesting(src []byte, filename string) hcl.Diagnostics {
	depth, line, signs, inString := 0, 1, 0, false
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case c == '\n':
			line++
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			depth++
			signs++
		case c == ',' || c == ':':
			signs++
		case c == ']' || c == '}':
			depth--
		}
		if signs > maxTokens/2 {
			return tooManyTokens(filename)
		}
		if depth > maxNesting {
			pos := hcl.Pos{Line: line, Column: 1, Byte: i}
			e := &nestingError{
				hcl.Range{Filename: filename, Start: pos, End: pos},
				fmt.Sprintf("Arrays and objects may stand inside each other %d deep.", maxNesting),
			}
			return e.diagnostics()
		}
	}
	return nil
}
