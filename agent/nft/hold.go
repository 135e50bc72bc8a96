//go:build linux

package nft

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// holdName is the table of Hold.
const holdName = name + "-hold"

// A table of this flag belongs to the socket that made it, and goes with it,
// however its process ends; since Linux 5.12. NFT_TABLE_F_OWNER of
// linux/netfilter/nf_tables.h.
const tableOwned = 2

// holdPriority is behind IPVS, which takes the packets of its services at 98 of
// the hook input.
const holdPriority = 99

// Hold drops what IPVS does not take of the packets to virtual services, until
// release is called or the process ends. While a service is away for a moment
// its new clients try again, and are not refused. A kernel that cannot do it, or
// not without leaving something behind when the process is killed, says so.
func Hold(services []state.ServiceID) (release func(), err error) {
	if !Loaded() {
		return nil, fmt.Errorf("nftables is not loaded: %w", unix.EOPNOTSUPP)
	}
	b := newBatch()
	b.add(subsystem|unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, unix.NFPROTO_INET,
		put32(putString(nil, unix.NFTA_TABLE_NAME, holdName), unix.NFTA_TABLE_FLAGS, tableOwned))
	in := chain{"filter", unix.NF_INET_LOCAL_IN, holdPriority}
	addChain(b, in.messageOf(holdName, "hold-input"))
	for _, id := range services {
		r := put(putString(putString(nil, unix.NFTA_RULE_TABLE, holdName), unix.NFTA_RULE_CHAIN, "hold-input"),
			unix.NFTA_RULE_EXPRESSIONS|unix.NLA_F_NESTED, holdRule(id))
		addRule(b, r)
	}
	fd, err := openSocket()
	if err != nil {
		return nil, err
	}
	if err := b.sendBy(fd); err != nil {
		unix.Close(fd) //nolint:errcheck // nothing is lost
		return nil, fmt.Errorf("hold new connections: %w", explain(err))
	}
	return func() { unix.Close(fd) }, nil //nolint:errcheck // it goes in any case
}

func holdRule(id state.ServiceID) []byte {
	e := expressions{make([]byte, 0, 512)}
	if id.FWMark != 0 {
		e.meta(unix.NFT_META_MARK, unix.NFTA_META_DREG)
		e.equals(binary.NativeEndian.AppendUint32(nil, id.FWMark))
	} else {
		e.family(id.Address)
		e.destination(id.Address)
		e.protocol(id.Protocol)
		if id.Port != 0 {
			e.payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2)
			e.equals(binary.BigEndian.AppendUint16(nil, id.Port))
		}
	}
	verdict := put32(nil, unix.NFTA_VERDICT_CODE, 0) // NF_DROP
	b := put32(make([]byte, 0, 64), unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT)
	data := put(nil, unix.NFTA_DATA_VERDICT|unix.NLA_F_NESTED, verdict)
	e.add("immediate", put(b, unix.NFTA_IMMEDIATE_DATA|unix.NLA_F_NESTED, data))
	return e.data
}
