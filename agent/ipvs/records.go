//go:build linux

package ipvs

import (
	"encoding/binary"
	"fmt"

	moby "github.com/moby/ipvs"

	"github.com/lvsform/lvsform/state"
)

// Commands: IPVS_CMD_* of linux/ip_vs.h.
const (
	cmdNewService = 1
	cmdSetService = 2
	cmdDelService = 3
	cmdGetService = 4
	cmdNewDest    = 5
	cmdSetDest    = 6
	cmdDelDest    = 7
	cmdGetDest    = 8
)

// Attributes of a command: IPVS_CMD_ATTR_*.
const (
	attrService = 1
	attrDest    = 2
)

// Attributes of a service: IPVS_SVC_ATTR_*.
const (
	svcFamily    = 1
	svcProtocol  = 2
	svcAddress   = 3
	svcPort      = 4
	svcFWMark    = 5
	svcScheduler = 6
	svcFlags     = 7
	svcTimeout   = 8
	svcNetmask   = 9
	svcEngine    = 11
)

// Attributes of a destination: IPVS_DEST_ATTR_*.
const (
	dstAddress     = 1
	dstPort        = 2
	dstForward     = 3
	dstWeight      = 4
	dstUpper       = 5
	dstLower       = 6
	dstActive      = 7
	dstInactive    = 8
	dstStats       = 10
	dstFamily      = 11
	dstStats64     = 12
	dstTunnelType  = 13
	dstTunnelPort  = 14
	dstTunnelFlags = 15
)

// Attributes of statistics: IPVS_STATS_ATTR_*.
const (
	statsConns  = 1
	statsCPS    = 6
	statsInPPS  = 7
	statsOutPPS = 8
	statsInBPS  = 9
	statsOutBPS = 10
)

// appendServiceID appends the attributes that name a service.
func appendServiceID(b []byte, s *moby.Service) []byte {
	b = appendUint16(b, svcFamily, s.AddressFamily)
	if s.FWMark != 0 {
		return appendUint32(b, svcFWMark, s.FWMark)
	}
	b = appendUint16(b, svcProtocol, s.Protocol)
	b = appendBytes(b, svcAddress, s.Address)
	return appendPort(b, svcPort, s.Port)
}

// appendService appends all attributes of a service: the kernel resets what an
// edit leaves out. Flags that are unknown here stay as they are.
func appendService(b []byte, s *moby.Service) []byte {
	b = appendServiceID(b, s)
	b = appendString(b, svcScheduler, s.SchedName)
	if s.PEName != "" {
		b = appendString(b, svcEngine, s.PEName)
	}
	b = appendHeader(b, svcFlags, 8) // struct ip_vs_flags: flags, mask
	b = binary.NativeEndian.AppendUint32(b, s.Flags)
	b = binary.NativeEndian.AppendUint32(b, flagsKnown)
	b = appendUint32(b, svcTimeout, s.Timeout)
	return appendUint32(b, svcNetmask, s.Netmask)
}

// appendDestinationID appends the attributes that name a destination within its
// service. Without the family the kernel takes the service's.
func appendDestinationID(b []byte, d *destination) []byte {
	b = appendBytes(b, dstAddress, d.Address)
	b = appendPort(b, dstPort, d.Port)
	return appendUint16(b, dstFamily, d.AddressFamily)
}

// appendDestination appends all attributes of a destination, for the same
// reason as appendService.
func appendDestination(b []byte, d *destination) []byte {
	b = appendDestinationID(b, d)
	b = appendUint32(b, dstForward, d.ConnectionFlags)
	b = appendUint32(b, dstWeight, uint32(d.Weight))
	b = appendUint32(b, dstUpper, d.UpperThreshold)
	b = appendUint32(b, dstLower, d.LowerThreshold)
	b = appendUint8(b, dstTunnelType, d.tunnelType)
	b = appendPort(b, dstTunnelPort, d.tunnelPort)
	return appendUint16(b, dstTunnelFlags, d.tunnelFlags)
}

// nested returns the content of the attribute of a kind.
func nested(attrs []byte, kind uint16) ([]byte, error) {
	r := attrReader{rest: attrs}
	for r.next() {
		if r.kind == kind {
			return r.value, nil
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	return nil, fmt.Errorf("%w: attribute %d is missing", errMalformed, kind)
}

// decodeService decodes the attributes of a command into a service's record,
// without its counters.
func decodeService(attrs []byte) (moby.Service, error) {
	var s moby.Service
	attrs, err := nested(attrs, attrService)
	if err != nil {
		return s, err
	}
	r := attrReader{rest: attrs}
	for r.next() {
		switch r.kind {
		case svcFamily:
			s.AddressFamily = r.uint16()
		case svcProtocol:
			s.Protocol = r.uint16()
		case svcAddress:
			s.Address = r.value
		case svcPort:
			s.Port = r.port()
		case svcFWMark:
			s.FWMark = r.uint32()
		case svcScheduler:
			s.SchedName = r.string()
		case svcFlags:
			s.Flags = binary.NativeEndian.Uint32(r.sized(8)) & flagsKnown
		case svcTimeout:
			s.Timeout = r.uint32()
		case svcNetmask:
			s.Netmask = r.uint32()
		case svcEngine:
			s.PEName = r.string()
		}
	}
	return s, r.err
}

// decode reads a destination's record, without its counters, from the attributes
// of a command. family is that of its service: kernels before
// 3.18 knew no other and do not tell.
func (d *destination) decode(attrs []byte, family uint16) error {
	*d = destination{Destination: moby.Destination{AddressFamily: family}}
	attrs, err := nested(attrs, attrDest)
	if err != nil {
		return err
	}
	r := attrReader{rest: attrs}
	for r.next() {
		switch r.kind {
		case dstAddress:
			d.Address = r.value
		case dstPort:
			d.Port = r.port()
		case dstForward:
			d.ConnectionFlags = r.uint32()
		case dstWeight:
			d.Weight = int(int32(r.uint32()))
		case dstUpper:
			d.UpperThreshold = r.uint32()
		case dstLower:
			d.LowerThreshold = r.uint32()
		case dstFamily:
			d.AddressFamily = r.uint16()
		case dstTunnelType:
			d.tunnelType = r.uint8()
		case dstTunnelPort:
			d.tunnelPort = r.port()
		case dstTunnelFlags:
			d.tunnelFlags = r.uint16()
		}
	}
	return r.err
}

// decodeCounters reads the counters that decode leaves out.
func decodeCounters(attrs []byte, service state.ServiceID, family uint16) (c state.Counters, err error) {
	var d destination
	if err := d.decode(attrs, family); err != nil {
		return c, err
	}
	object, err := toDestination(service, &d)
	if err != nil {
		return c, err
	}
	c.Destination = object.Key().ID
	attrs, err = nested(attrs, attrDest)
	r := attrReader{rest: attrs, err: err}
	for r.next() {
		switch r.kind {
		case dstActive:
			c.Active = r.uint32()
		case dstInactive:
			c.Inactive = r.uint32()
		case dstStats, dstStats64: // kernels before 4.1 know only the first
			r.err = decodeStats(&c, r.value)
		}
	}
	return c, r.err
}

// decodeStats reads the attributes of either kind of statistics.
func decodeStats(c *state.Counters, attrs []byte) error {
	r := attrReader{rest: attrs}
	for r.next() {
		var n uint64
		switch len(r.value) {
		case 4:
			n = uint64(r.uint32())
		case 8:
			n = binary.NativeEndian.Uint64(r.value)
		}
		switch r.kind {
		case statsConns:
			c.Total = n
		case statsCPS:
			c.Conns = n
		case statsInPPS:
			c.PacketsIn = n
		case statsOutPPS:
			c.PacketsOut = n
		case statsInBPS:
			c.BytesIn = n
		case statsOutBPS:
			c.BytesOut = n
		}
	}
	return r.err
}
