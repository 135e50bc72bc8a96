package topology

// Advertised are the addresses that the instance tells its peers of: of those
// that do not say so themselves the first by name.
func (v *VRRPInstance) Advertised() []VirtualAddress { return v.addresses(true) }

// Unadvertised are the addresses that move too, but are not told of, so that they
// may differ between the hosts for a while.
func (v *VRRPInstance) Unadvertised() []VirtualAddress { return v.addresses(false) }

func (v *VRRPInstance) addresses(advertised bool) []VirtualAddress {
	var out []VirtualAddress
	for i, a := range v.VirtualAddresses {
		told := i == 0
		if a.Excluded != nil {
			told = !*a.Excluded
		}
		if told == advertised {
			out = append(out, a)
		}
	}
	return out
}

// Family is that of the advertisements: ipv4 or ipv6; "" without an address.
func (v *VRRPInstance) Family() string {
	told := v.Advertised()
	switch {
	case len(told) == 0 || !told[0].IP.IsValid():
		return ""
	case told[0].IP.Addr().Is4():
		return "ipv4"
	}
	return "ipv6"
}

// DeviceOf is the interface that an address of the instance goes to.
func (v *VRRPInstance) DeviceOf(a VirtualAddress) string {
	if a.Device != "" {
		return a.Device
	}
	return v.Interface
}

// Preempts tells whether the instance takes over from a master of lower priority.
func (v *VRRPInstance) Preempts() bool { return v.Preempt == nil || *v.Preempt }
