package hcl

import (
	"fmt"
	"math/big"
	"net/netip"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

func networkFunctions() map[string]function.Function {
	number := func(name string) function.Parameter { return function.Parameter{Name: name, Type: cty.Number} }
	more := number("newbits")
	text := function.StaticReturnType(cty.String)
	return map[string]function.Function{
		"cidrhost": function.New(&function.Spec{
			Params: []function.Parameter{textParam("prefix"), number("hostnum")}, Type: text, Impl: cidrHost,
		}),
		"cidrsubnet": function.New(&function.Spec{
			Params: []function.Parameter{textParam("prefix"), number("newbits"), number("netnum")}, Type: text, Impl: cidrSubnet,
		}),
		"cidrnetmask": function.New(&function.Spec{
			Params: []function.Parameter{textParam("prefix")}, Type: text, Impl: cidrNetmask,
		}),
		"cidrsubnets": function.New(&function.Spec{
			Params: []function.Parameter{textParam("prefix")}, VarParam: &more,
			Type: function.StaticReturnType(cty.List(cty.String)), Impl: cidrSubnets,
		}),
	}
}

func prefixArg(args []cty.Value) (netip.Prefix, error) {
	s := args[0].AsString()
	p, err := parsePrefix(s)
	if err != nil {
		return p, function.NewArgErrorf(0, "%s", prefixHelp(s))
	}
	return p.Masked(), nil
}

func intArg(args []cty.Value, i int) (*big.Int, error) {
	f := args[i].AsBigFloat()
	if !f.IsInt() || hugeNumber(f) {
		return nil, function.NewArgErrorf(i, "a whole number is required")
	}
	n, _ := f.Int(nil)
	return n, nil
}

// plus returns the address n places after the first of a network.
func plus(a netip.Addr, n *big.Int) netip.Addr {
	sum := new(big.Int).SetBytes(a.AsSlice())
	buf := make([]byte, a.BitLen()/8)
	out, _ := netip.AddrFromSlice(sum.Add(sum, n).FillBytes(buf))
	return out
}

func cidrHost(args []cty.Value, _ cty.Type) (cty.Value, error) {
	p, err := prefixArg(args)
	if err != nil {
		return cty.NilVal, err
	}
	n, err := intArg(args, 1)
	if err != nil {
		return cty.NilVal, err
	}
	size := new(big.Int).Lsh(big.NewInt(1), uint(p.Addr().BitLen()-p.Bits()))
	if n.Sign() < 0 {
		n = n.Add(n, size) // -1 is the last one
	}
	if n.Sign() < 0 || n.Cmp(size) >= 0 {
		return cty.NilVal, function.NewArgErrorf(1, "%s has %s addresses", p, size)
	}
	return cty.StringVal(plus(p.Addr(), n).String()), nil
}

func subnet(p netip.Prefix, bits int, n *big.Int) (netip.Prefix, error) {
	total := p.Addr().BitLen()
	if bits < 0 || p.Bits()+bits > total {
		return p, fmt.Errorf("%s cannot be divided by %d more bits: a prefix length is at most %d", p, bits, total)
	}
	if n.Sign() < 0 || n.BitLen() > bits {
		return p, fmt.Errorf("%d bits cannot number network %s", bits, n)
	}
	offset := new(big.Int).Lsh(n, uint(total-p.Bits()-bits))
	return netip.PrefixFrom(plus(p.Addr(), offset), p.Bits()+bits), nil
}

func smallArg(args []cty.Value, i int) (int, error) {
	n, err := intArg(args, i)
	if err != nil {
		return 0, err
	}
	if n.Sign() < 0 || n.BitLen() > 8 {
		return 0, function.NewArgErrorf(i, "a number of bits from 0 to 128 is required")
	}
	return int(n.Int64()), nil
}

func cidrSubnet(args []cty.Value, _ cty.Type) (cty.Value, error) {
	p, err := prefixArg(args)
	if err != nil {
		return cty.NilVal, err
	}
	bits, err := smallArg(args, 1)
	if err != nil {
		return cty.NilVal, err
	}
	n, err := intArg(args, 2)
	if err != nil {
		return cty.NilVal, err
	}
	sub, err := subnet(p, bits, n)
	if err != nil {
		return cty.NilVal, err
	}
	return cty.StringVal(sub.String()), nil
}

func cidrNetmask(args []cty.Value, _ cty.Type) (cty.Value, error) {
	p, err := prefixArg(args)
	if err != nil {
		return cty.NilVal, err
	}
	if !p.Addr().Is4() {
		return cty.NilVal, function.NewArgErrorf(0, "IPv6 networks have no netmask: write the prefix length")
	}
	ones := ^uint32(0) << (32 - p.Bits())
	mask := netip.AddrFrom4([4]byte{byte(ones >> 24), byte(ones >> 16), byte(ones >> 8), byte(ones)})
	return cty.StringVal(mask.String()), nil
}

// cidrSubnets cuts consecutive networks of different lengths out of one.
func cidrSubnets(args []cty.Value, _ cty.Type) (cty.Value, error) {
	p, err := prefixArg(args)
	if err != nil {
		return cty.NilVal, err
	}
	total := p.Addr().BitLen()
	next := new(big.Int)
	var out []cty.Value
	for i := 1; i < len(args); i++ {
		bits, err := smallArg(args, i)
		if err != nil {
			return cty.NilVal, err
		}
		if p.Bits()+bits > total {
			return cty.NilVal, function.NewArgErrorf(i, "a prefix length is at most %d", total)
		}
		size := new(big.Int).Lsh(big.NewInt(1), uint(total-p.Bits()-bits))
		// The next multiple of its own size.
		next.Add(next, new(big.Int).Sub(size, big.NewInt(1)))
		next.Sub(next, new(big.Int).Mod(next, size))
		if next.BitLen() > total-p.Bits() {
			return cty.NilVal, function.NewArgErrorf(i, "%s has no room for it", p)
		}
		out = append(out, cty.StringVal(netip.PrefixFrom(plus(p.Addr(), next), p.Bits()+bits).String()))
		next.Add(next, size)
	}
	if len(out) == 0 {
		return cty.ListValEmpty(cty.String), nil
	}
	return cty.ListVal(out), nil
}
