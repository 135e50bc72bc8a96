package lab

import (
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// sshdConfig has no PAM and no DNS: each costs an emulated host a second.
const sshdConfig = `HostKey /etc/ssh/host_key
AuthorizedKeysFile /etc/ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UsePAM no
UseDNS no
PrintMotd no
PrintLastLog no
`

// A small shell: a large one costs each connection of an emulated host.
const (
	passwd = "root:x:0:0:root:/root:/bin/sh\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n" +
		"systemd-network:x:102:102::/:/usr/sbin/nologin\nmessagebus:x:104:104::/:/usr/sbin/nologin\nnobody:x:65534:65534::/:/usr/sbin/nologin\n"
	group  = "root:x:0:\ntty:x:5:\nsystemd-network:x:102:\nsystemd-journal:x:103:\nmessagebus:x:104:\nnogroup:x:65534:\n"
	shadow = "root:*:19000::::::\nsshd:!:19000::::::\nsystemd-network:!:19000::::::\nnobody:!:19000::::::\n"
)

// What systemd runs on a machine. Its own units would do as well, but for what
// they cost an emulated machine: networkd reads /sys only to learn that udev,
// which is not there, knows the NICs.
const (
	networkdUnit = `[Unit]
Description=Network
DefaultDependencies=no
After=network-pre.target systemd-sysctl.service
Before=network.target multi-user.target shutdown.target
Conflicts=shutdown.target
Wants=network.target

[Service]
Type=notify
User=systemd-network
AmbientCapabilities=CAP_NET_ADMIN CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_RAW
ExecStart=!!/lib/systemd/systemd-networkd
Restart=on-failure
ReadOnlyPaths=/sys
RuntimeDirectory=systemd/netif
RuntimeDirectoryPreserve=yes
`
	sshdUnit = `[Unit]
Description=SSH server
After=network.target

[Service]
ExecStart=/usr/sbin/sshd -D -e
KillMode=process
Restart=on-failure
RuntimeDirectory=sshd
`
	labUnit = `[Unit]
Description=Control channel of the lab
After=network.target

[Service]
ExecStart=/bin/sh /etc/lvsform-lab/run
StandardOutput=file:/dev/ttyS0
StandardError=inherit
`
)

// theirs are what this machine's own administration has left: a host of the lab
// starts without.
var theirs = [...]string{
	"etc/fstab", "etc/group", "etc/gshadow", "etc/ha.d", "etc/hostname", "etc/hosts", "etc/init.d", "etc/keepalived", "etc/machine-id",
	"etc/modprobe.d", "etc/modules", "etc/modules-load.d", "etc/netplan", "etc/network", "etc/NetworkManager", "etc/nftables.conf",
	"etc/nsswitch.conf", "etc/passwd", "etc/profile.d", "etc/resolv.conf", "etc/rc.local", "etc/shadow", "etc/ssh", "etc/sysctl.conf",
	"etc/sysctl.d", "etc/systemd", "etc/tmpfiles.d", "etc/udev", "root", "usr/lib/systemd/system-generators",
	"usr/local/lib/systemd", "usr/local/libexec", "var/lib/lvsform", "var/lib/lvsform-lab", "var/lib/systemd", "var/log",
}

// hidden lists theirs, with whatever packages of this machine would have started
// on a real one.
func hidden() []string {
	list := slices.Clone(theirs[:])
	for _, pattern := range []string{"/usr/lib/systemd/system/*.wants", "/usr/lib/systemd/system/*.requires", "/etc/rc?.d"} {
		found, _ := filepath.Glob(pattern)
		for _, f := range found {
			list = append(list, strings.TrimPrefix(f, "/"))
		}
	}
	return list
}

// file is what stands at a path: a directory where the mode says so, a link where
// there is a target.
type file struct {
	text, target string
	mode         uint32
}

// seed is what a machine's disk begins with, by path.
func seed(spec buildHost, authorized, machineID, program string) (map[string]file, error) {
	files := map[string]file{
		"etc/passwd":     {text: passwd},
		"etc/group":      {text: group},
		"etc/shadow":     {text: shadow, mode: 0o600},
		"etc/hostname":   {text: spec.Name + "\n"},
		"etc/hosts":      {text: "127.0.0.1 localhost\n::1 localhost\n"},
		"etc/machine-id": {text: machineID + "\n", mode: 0o444},
		// networkd asks the kernel for wireless NICs, which loads a large module.
		"etc/modprobe.d/lab.conf": {text: "alias net-pf-16-proto-16-family-nl80211 off\n"},
		"etc/nsswitch.conf":       {text: "passwd: files\ngroup: files\nshadow: files\nhosts: files\n"},
		"etc/ssh/sshd_config":     {text: sshdConfig},
		"etc/ssh/host_key":        {text: spec.HostKey, mode: 0o600},
		"etc/ssh/authorized_keys": {text: authorized + "\n"},
		"etc/lvsform-lab/run":     {text: "exec " + program + "\n"},

		"etc/systemd/journald.conf":                   {text: "[Journal]\nStorage=volatile\n"},
		"etc/systemd/system/systemd-networkd.service": {text: networkdUnit},
		"etc/systemd/system/sshd.service":             {text: sshdUnit},
		"etc/systemd/system/lvsform-lab.service":      {text: labUnit},
		"etc/systemd/system/default.target":           {target: "/usr/lib/systemd/system/multi-user.target"},
	}
	for _, dir := range []string{"etc/sysctl.d", "etc/modules-load.d", "etc/init.d", "root", "var/lib/systemd", "var/log", "usr/local/libexec"} {
		files[dir] = file{mode: 0o040755}
	}
	for unit, by := range map[string]string{
		"systemd-journald.service":        "sysinit",
		"systemd-modules-load.service":    "sysinit",
		"systemd-sysctl.service":          "sysinit",
		"systemd-journald.socket":         "sockets",
		"systemd-journald-dev-log.socket": "sockets",
		"systemd-networkd.service":        "multi-user",
		"sshd.service":                    "multi-user",
		"lvsform-lab.service":             "multi-user",
	} {
		at := "/usr/lib/systemd/system/" + unit
		if _, own := files["etc/systemd/system/"+unit]; own {
			at = "/etc/systemd/system/" + unit
		}
		files["etc/systemd/system/"+by+".target.wants/"+unit] = file{target: at}
	}
	networks, err := networkFiles(spec.Host)
	maps.Copy(files, networks)
	return files, err
}

// management is the NIC that the lab reaches a machine by.
const management = "mgmt0"

// networkFiles configure systemd-networkd, by path.
func networkFiles(h Host) (map[string]file, error) {
	text := map[string]string{management: "Address=" + guestAddress + "/24\nLinkLocalAddressing=no\n"}
	for _, i := range h.Interfaces {
		if text[i.Name] != "" {
			return nil, fmt.Errorf("host %s: the lab has a NIC %s of its own on this machine", h.Name, i.Name)
		}
		for _, a := range i.Addresses {
			text[i.Name] += "Address=" + a.String() + "\n"
			for _, g := range h.Gateways {
				if a.Contains(g) {
					text[i.Name] += "Gateway=" + g.String() + "\n"
				}
			}
		}
	}
	files := map[string]file{}
	for name, lines := range text {
		files["etc/systemd/network/"+name+".network"] = file{text: "[Match]\nName=" + name + "\n\n[Network]\nIPv6AcceptRA=no\n" + lines}
	}
	return files, nil
}

// archiveOf lists files for an archive, each after the directories it lies in.
func archiveOf(root string, files map[string]file) []archived {
	var list []archived
	made := map[string]bool{}
	var directories func(string)
	directories = func(dir string) {
		if dir == "." || made[dir] {
			return
		}
		directories(path.Dir(dir))
		made[dir] = true
		list = append(list, archived{name: dir, mode: 0o040755})
	}
	for _, at := range slices.Sorted(maps.Keys(files)) {
		f, name := files[at], path.Join(root, at)
		switch {
		case f.mode&0o170000 == 0o040000:
			directories(name)
			continue
		case f.target != "":
			f.mode, f.text = 0o120777, f.target
		case f.mode == 0:
			f.mode = 0o644
		}
		directories(path.Dir(name))
		list = append(list, archived{name: name, mode: f.mode, data: []byte(f.text)})
	}
	return list
}
