package hcl

import (
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// attribute is one argument that a block takes.
type attribute struct {
	ty       cty.Type
	required bool
	secret   bool // never shown, whatever the configuration says of it
}

// nested is a block inside a block.
type nested struct {
	labels []string
	many   bool
	schema *schema
}

// schema is what a block may hold.
type schema struct {
	attrs  map[string]attribute
	blocks map[string]nested
	// meta are the arguments that say how many instances there are and how
	// they are ordered. They are not evaluated with the others.
	meta  []string
	built *hcl.BodySchema // what body returns, once it was asked
}

// body returns the schema as the library takes it. It must not be changed.
func (s *schema) body() *hcl.BodySchema {
	if s.built == nil {
		s.built = s.build()
	}
	return s.built
}

func (s *schema) build() *hcl.BodySchema {
	out := &hcl.BodySchema{}
	for _, name := range slices.Sorted(maps.Keys(s.attrs)) {
		out.Attributes = append(out.Attributes, hcl.AttributeSchema{Name: name, Required: s.attrs[name].required})
	}
	for _, name := range s.meta {
		out.Attributes = append(out.Attributes, hcl.AttributeSchema{Name: name})
	}
	for _, name := range slices.Sorted(maps.Keys(s.blocks)) {
		out.Blocks = append(out.Blocks, hcl.BlockHeaderSchema{Type: name, LabelNames: s.blocks[name].labels})
	}
	return out
}

func need(ty cty.Type) attribute  { return attribute{ty: ty, required: true} }
func allow(ty cty.Type) attribute { return attribute{ty: ty} }

// schemas are the blocks that declare something on a host, and host itself.
type schemas map[string]*schema

func newSchemas() schemas {
	s := schemas{
		"sysctl": {attrs: map[string]attribute{
			"settings": need(cty.DynamicPseudoType),
		}},
		"link":            linkSchema(),
		"address":         addressSchema(),
		"route":           routeSchema(),
		"rule":            ruleSchema(),
		"virtual_service": serviceSchema(),
		"vrrp_instance":   vrrpSchema(),
		"mark":            markSchema(),
		"masquerade":      masqueradeSchema(),
		"ipvs":            ipvsSchema(),
		"package":         packageSchema(),
		"service":         unitSchema(),
	}
	for _, r := range s {
		r.attrs["host"] = need(cty.DynamicPseudoType)
		r.meta = []string{"for_each", "count", "depends_on"}
		if r.blocks == nil {
			r.blocks = map[string]nested{}
		}
		r.blocks["lifecycle"] = nested{schema: &schema{
			attrs: map[string]attribute{"prevent_destroy": allow(cty.Bool)},
			meta:  []string{"ignore_changes"},
		}}
	}
	s["host"] = hostSchema()
	return s
}

// resourceTypes are the names of the blocks that declare something on a host.
func (s schemas) resourceTypes() []string {
	names := slices.Sorted(maps.Keys(s))
	return slices.DeleteFunc(names, func(n string) bool { return n == "host" })
}

func hostSchema() *schema {
	return &schema{
		meta: []string{"for_each", "count"},
		attrs: map[string]attribute{
			"name":    allow(cty.String),
			"address": need(cty.String),
			"gateway": allow(cty.String),
			"managed": allow(cty.Bool),
			"retired": allow(cty.Bool),
			"os":      allow(cty.String),
		},
		blocks: map[string]nested{
			"interface": {labels: []string{"name"}, many: true, schema: &schema{attrs: map[string]attribute{
				"addresses": allow(cty.List(cty.String)),
			}}},
			"ssh": {schema: &schema{attrs: map[string]attribute{
				"address":       allow(cty.String),
				"port":          allow(cty.Number),
				"user":          allow(cty.String),
				"identity_file": allow(cty.String),
				"jump":          allow(cty.String),
				"sudo":          allow(cty.Bool),
			}}},
		},
	}
}

func linkSchema() *schema {
	return &schema{
		attrs: map[string]attribute{
			"name":   need(cty.String),
			"kind":   need(cty.String),
			"mode":   allow(cty.String),
			"local":  allow(cty.String),
			"remote": allow(cty.String),
			"up":     allow(cty.Bool),
			"mtu":    allow(cty.Number),
		},
		blocks: map[string]nested{
			"fou": {schema: &schema{attrs: map[string]attribute{
				"port":     need(cty.Number),
				"protocol": allow(cty.String),
			}}},
		},
	}
}

func addressSchema() *schema {
	return &schema{attrs: map[string]attribute{
		"ip":                 need(cty.String),
		"device":             need(cty.String),
		"label":              allow(cty.String),
		"broadcast":          allow(cty.String),
		"scope":              allow(cty.String),
		"nodad":              allow(cty.Bool),
		"preferred_lifetime": allow(cty.DynamicPseudoType),
		"announce":           allow(cty.Bool),
	}}
}

func routeSchema() *schema {
	return &schema{attrs: map[string]attribute{
		"to":     need(cty.String),
		"via":    allow(cty.String),
		"device": allow(cty.String),
		"source": allow(cty.String),
		"metric": allow(cty.Number),
		"table":  allow(cty.DynamicPseudoType),
		"scope":  allow(cty.String),
		"onlink": allow(cty.Bool),
		"mtu":    allow(cty.Number),
		"advmss": allow(cty.Number),
	}}
}

func ruleSchema() *schema {
	return &schema{attrs: map[string]attribute{
		"family":   allow(cty.String),
		"from":     allow(cty.String),
		"to":       allow(cty.String),
		"fwmark":   allow(cty.Number),
		"table":    need(cty.DynamicPseudoType),
		"priority": need(cty.Number),
	}}
}

func serviceSchema() *schema {
	return &schema{
		attrs: map[string]attribute{
			"protocol":        allow(cty.String),
			"address":         allow(cty.String),
			"port":            allow(cty.Number),
			"fwmark":          allow(cty.Number),
			"family":          allow(cty.String),
			"scheduler":       allow(cty.String),
			"scheduler_flags": allow(cty.List(cty.String)),
			"one_packet":      allow(cty.Bool),
			"forward":         allow(cty.String),
			"drain_timeout":   allow(cty.DynamicPseudoType),
			"checker":         allow(cty.String),
			"quorum":          allow(cty.Number),
			"quiescent":       allow(cty.Bool),
		},
		blocks: map[string]nested{
			"persistence": {schema: &schema{attrs: map[string]attribute{
				"timeout": allow(cty.DynamicPseudoType),
				"netmask": allow(cty.DynamicPseudoType),
				"engine":  allow(cty.String),
			}}},
			"health_check": {labels: []string{"type"}, many: true, schema: healthSchema()},
			"fallback":     {schema: fallbackSchema()},
			"real_server":  {labels: []string{"name"}, many: true, schema: realServerSchema()},
		},
	}
}

func realServerSchema() *schema {
	return &schema{
		attrs: map[string]attribute{
			"host":            allow(cty.DynamicPseudoType),
			"address":         allow(cty.String),
			"port":            allow(cty.Number),
			"weight":          allow(cty.Number),
			"forward":         allow(cty.String),
			"upper_threshold": allow(cty.Number),
			"lower_threshold": allow(cty.Number),
		},
		blocks: map[string]nested{
			"tunnel": {schema: &schema{attrs: map[string]attribute{
				"type":     need(cty.String),
				"port":     allow(cty.Number),
				"checksum": allow(cty.String),
			}}},
		},
	}
}
