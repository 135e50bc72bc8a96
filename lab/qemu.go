package lab

import (
	"fmt"
	"net"
	"os"
)

// nic is QEMU's end of a wire.
type nic struct {
	far *os.File
	mac string
}

func closeNICs(nics []nic) {
	for _, n := range nics {
		n.far.Close()
	}
}

func startQEMU(args []string, nics []nic, detached bool) (*process, error) {
	qemu, err := program("qemu-system-x86_64")
	if err != nil {
		return nil, err
	}
	const firstExtra = 3 // os/exec.Cmd.ExtraFiles
	var files []*os.File
	for i, n := range nics {
		args = append(args, "-netdev", fmt.Sprintf("socket,id=wire%d,fd=%d", i, firstExtra+i),
			"-device", fmt.Sprintf("virtio-net-pci,netdev=wire%d,mac=%s", i, n.mac))
		files = append(files, n.far)
	}
	return startProcess(qemu, args, files, detached)
}

// processor is what QEMU can do, without what costs an emulator more than it
// gives: copies by single bytes, a fifth level of pages, and guards of the
// kernel's memory.
const processor = "max,-erms,-fsrm,-la57,-smap,-smep"

// kernelArgs are those of every machine's kernel. Programs lie at the same
// addresses each time: an emulator that meets code where it has met it before
// finds its translation faster, which saves it a third of its work.
const kernelArgs = "console=ttyS0 panic=-1 mitigations=off norandmaps net.ifnames=0"

// commonArgs are those of every machine: emulated or not, this machine's files,
// and nothing that is not asked for.
func commonArgs(accel string) []string {
	return []string{
		"-accel", accel, "-machine", "q35", "-cpu", processor, "-nodefaults", "-no-user-config", "-display", "none",
		"-fsdev", "local,id=r,path=/,security_model=none,readonly=on,multidevs=remap",
		"-device", "virtio-9p-pci,fsdev=r,mount_tag=root",
	}
}

// freePorts picks ports on 127.0.0.1 that nobody listens on.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all of them at the end, so that none comes twice
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}
