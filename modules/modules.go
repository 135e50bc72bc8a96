// Package modules holds the HCL modules that are built into lvsform.
package modules

import "embed"

// FS has one directory for each module: the source lvsform://dr is the
// directory dr.
//
//go:embed dr/*.hcl fullnat/*.hcl ha/*.hcl nat/*.hcl tun/*.hcl
var FS embed.FS
