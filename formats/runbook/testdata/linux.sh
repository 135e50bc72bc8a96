#!/bin/sh
# Host rs["a"] of topology "web". Run this as root on it, as a script.
# It can be run again: what is there already stays, or is set again.
# It changes the running system alone. To have all of it after a reboot too, run it at boot, when the interfaces are up.

set -eu
export LC_ALL=C PATH="/usr/local/sbin:/usr/sbin:/sbin:$PATH"

# package ipvsadm   (resource.x["package"])
# package g++-12   (resource.x["package"])
if command -v apt-get >/dev/null 2>&1; then
  env 'DEBIAN_FRONTEND=noninteractive' apt-get install --yes ipvsadm g++-12
elif command -v dnf >/dev/null 2>&1; then
  dnf install --assumeyes ipvsadm g++-12
elif command -v yum >/dev/null 2>&1; then
  yum install --assumeyes ipvsadm g++-12
elif command -v zypper >/dev/null 2>&1; then
  zypper --non-interactive install ipvsadm g++-12
elif command -v apk >/dev/null 2>&1; then
  apk add ipvsadm g++-12
elif command -v pacman >/dev/null 2>&1; then
  pacman --sync --needed --noconfirm ipvsadm g++-12
else
  echo 'install these packages by hand, then run this again: ipvsadm g++-12' >&2; exit 1
fi

# service firewalld: stopped disabled at boot   (resource.x["service"])
if test -d /run/systemd/system; then
  systemctl disable firewalld.service
  systemctl stop firewalld.service
elif command -v rc-service >/dev/null 2>&1; then
  if rc-update show | grep -q '^ *firewalld | .*default'; then rc-update del firewalld default; fi
  if rc-service firewalld status >/dev/null 2>&1; then rc-service firewalld stop; fi
else
  if command -v update-rc.d >/dev/null 2>&1; then update-rc.d firewalld disable; else chkconfig firewalld off; fi
  /etc/init.d/firewalld stop
fi

# module ip_vs   (resource.x["module"])
modprobe ip_vs 'conn_tab_bits=16'

# module dummy   (resource.x["module"])
modprobe dummy 'numdummies=0'

# link d0 mtu 1400 up   (resource.x["link"])
ip link show dev d0 >/dev/null 2>&1 || ip link add name d0 type dummy
ip link set dev d0 mtu 1400 up

# link eth0 mtu 1450   (resource.x["link"])
ip link set dev eth0 mtu 1450

# link t6 mode any encaplimit none remote 2001:db8::2 local 2001:db8::1 up   (resource.x["link"])
ip link show dev t6 >/dev/null 2>&1 || ip link add name t6 type ip6tnl mode any encaplimit none remote 2001:db8::2 local 2001:db8::1
ip link set dev t6 up

# link tunl0 up   (resource.x["link"])
ip link set dev tunl0 up

# fou ipv4/6080 gue   (resource.x["fou"])
ip -4 fou show | grep -q '^port 6080 ' || ip -4 fou add port 6080 gue

# fou ipv6/6081 ipv6   (resource.x["fou"])
ip -6 fou show | grep -q '^port 6081 ' || ip -6 fou add port 6081 ipproto 41

# sysctl net.ipv4.ip_forward = 1   (resource.x["sysctl"])
sysctl -q -w net.ipv4.ip_forward=1

# sysctl net.ipv4.conf.eth0/100.rp_filter = 2   (resource.x["sysctl"])
sysctl -q -w net.ipv4.conf.eth0/100.rp_filter=2

# sysctl net.ipv4.ip_local_port_range = 1024 65000   (resource.x["sysctl"])
sysctl -q -w 'net.ipv4.ip_local_port_range=1024 65000'

# address 192.0.2.100/32 on lo   (resource.x["address"])
ip address replace 192.0.2.100/32 dev lo broadcast 192.0.2.100 label lo:0 scope global

# address 2001:db8::100/128 on eth0   (resource.x["address"])
ip address replace 2001:db8::100/128 dev eth0 nodad valid_lft forever preferred_lft 0

# route default proto static via 192.0.2.1 dev eth0 scope global   (resource.x["route"])
ip -4 route replace default proto static via 192.0.2.1 dev eth0 scope global

# route 2001:db8:9::/48 dev eth0 metric 1024 table 100 proto static via fe80::1 onlink mtu 1400 advmss 1340   (resource.x["route"])
ip -6 route replace 2001:db8:9::/48 dev eth0 metric 1024 table 100 proto static via fe80::1 onlink mtu 1400 advmss 1340

# rule from 203.0.113.0/24 to all fwmark 9 table 100 priority 1000   (resource.x["rule"])
ip -4 rule list from 203.0.113.0/24 to all fwmark 9 table 100 priority 1000 | grep -q . || ip -4 rule add from 203.0.113.0/24 to all fwmark 9 table 100 priority 1000

# mark tcp/192.0.2.100/80,8000-8100: mark 7   (resource.x["mark"])
# masquerade tcp/192.0.2.100:80/198.51.100.9   (resource.x["masquerade"])
# masquerade udp/[2001:db8::100]:0/2001:db8::9 as 2001:db8::1   (resource.x["masquerade"])
nft 'add table inet lvsform
delete table inet lvsform
table inet lvsform {
  chain mark-prerouting {
    type filter hook prerouting priority mangle; policy accept;
    ip daddr 192.0.2.100 tcp dport 80 meta mark set 7 comment "mark tcp 192.0.2.100 80,8000-8100 7"
    ip daddr 192.0.2.100 tcp dport 8000-8100 meta mark set 7 comment "mark tcp 192.0.2.100 80,8000-8100 7"
  }
  chain mark-output {
    type route hook output priority mangle; policy accept;
    ip daddr 192.0.2.100 tcp dport 80 meta mark set 7 comment "mark tcp 192.0.2.100 80,8000-8100 7"
    ip daddr 192.0.2.100 tcp dport 8000-8100 meta mark set 7 comment "mark tcp 192.0.2.100 80,8000-8100 7"
  }
  chain masquerade-postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip daddr 198.51.100.9 ct original ip daddr 192.0.2.100 meta l4proto tcp ct original proto-dst 80 masquerade comment "masquerade tcp 192.0.2.100 80 198.51.100.9 interface"
    ip6 daddr 2001:db8::9 ct original ip6 daddr 2001:db8::100 meta l4proto udp snat ip6 to 2001:db8::1 comment "masquerade udp 2001:db8::100 0 2001:db8::9 2001:db8::1"
  }
}'

# ipvs_timeouts host 900 0 60   (resource.x["ipvs_timeouts"])
ipvsadm --set 900 0 60

# ipvs_sync master --start-daemon master --mcast-interface eth0 --syncid 5 --sync-maxlen 1400 --mcast-group 224.0.0.81 --mcast-port 8848 --mcast-ttl 1   (resource.x["ipvs_sync"])
ipvsadm --list --daemon | grep -q '^master sync daemon' || ipvsadm --start-daemon master --mcast-interface eth0 --syncid 5 --sync-maxlen 1400 --mcast-group 224.0.0.81 --mcast-port 8848 --mcast-ttl 1

# ipvs_service tcp/192.0.2.100:80 --scheduler sh --sched-flags sh-fallback,sh-port --persistent 300 --netmask 255.255.255.0   (resource.x["ipvs_service"])
ipvsadm --edit-service --tcp-service 192.0.2.100:80 --scheduler sh --sched-flags sh-fallback,sh-port --persistent 300 --netmask 255.255.255.0 2>/dev/null || ipvsadm --add-service --tcp-service 192.0.2.100:80 --scheduler sh --sched-flags sh-fallback,sh-port --persistent 300 --netmask 255.255.255.0

# ipvs_service udp/[2001:db8::100]:53 --scheduler rr --ops   (resource.x["ipvs_service"])
ipvsadm --edit-service --udp-service '[2001:db8::100]:53' --scheduler rr --ops 2>/dev/null || ipvsadm --add-service --udp-service '[2001:db8::100]:53' --scheduler rr --ops

# ipvs_service fwmark/7/ipv6 --scheduler wlc --persistent 60 --netmask 64 --pe sip   (resource.x["ipvs_service"])
ipvsadm --edit-service --fwmark-service 7 --ipv6 --scheduler wlc --persistent 60 --netmask 64 --pe sip 2>/dev/null || ipvsadm --add-service --fwmark-service 7 --ipv6 --scheduler wlc --persistent 60 --netmask 64 --pe sip

# ipvs_destination tcp/192.0.2.100:80/192.0.2.9:80 --gatewaying --weight 0 --u-threshold 100 --l-threshold 50   (resource.x["ipvs_destination"])
ipvsadm --edit-server --tcp-service 192.0.2.100:80 --real-server 192.0.2.9:80 --gatewaying --weight 0 --u-threshold 100 --l-threshold 50 2>/dev/null || ipvsadm --add-server --tcp-service 192.0.2.100:80 --real-server 192.0.2.9:80 --gatewaying --weight 0 --u-threshold 100 --l-threshold 50

# ipvs_destination udp/[2001:db8::100]:53/[2001:db8::9]:53 --ipip --weight 1 --tun-type gue --tun-port 6080 --tun-csum   (resource.x["ipvs_destination"])
ipvsadm --edit-server --udp-service '[2001:db8::100]:53' --real-server '[2001:db8::9]:53' --ipip --weight 1 --tun-type gue --tun-port 6080 --tun-csum 2>/dev/null || ipvsadm --add-server --udp-service '[2001:db8::100]:53' --real-server '[2001:db8::9]:53' --ipip --weight 1 --tun-type gue --tun-port 6080 --tun-csum

# ipvs_destination fwmark/7/ipv6/[2001:db8::9]:0 --masquerading --weight 1   (resource.x["ipvs_destination"])
ipvsadm --edit-server --fwmark-service 7 --ipv6 --real-server '[2001:db8::9]:0' --masquerading --weight 1 2>/dev/null || ipvsadm --add-server --fwmark-service 7 --ipv6 --real-server '[2001:db8::9]:0' --masquerading --weight 1

# config keepalived/web   (resource.x["config"])
mkdir -p /etc/keepalived/lvsform
printf %s 'vrrp_instance eth0_51 {
  interface '\''eth0'\''
}
' | install -m 0600 /dev/stdin /etc/keepalived/lvsform/web.conf
touch /etc/keepalived/keepalived.conf
grep -qxF 'include /etc/keepalived/lvsform/*.conf' /etc/keepalived/keepalived.conf || echo 'include /etc/keepalived/lvsform/*.conf' | tee -a /etc/keepalived/keepalived.conf >/dev/null
keepalived -t
pkill -HUP -o -x keepalived || true

# config ldirectord/web   (resource.x["config"])
touch /etc/ha.d/ldirectord.cf
sed -i '/^# lvsform begins: web$/,/^# lvsform ends: web$/d' /etc/ha.d/ldirectord.cf
printf %s '# lvsform begins: web
virtual=192.0.2.100:80
	scheduler=wrr
# lvsform ends: web
' | tee -a /etc/ha.d/ldirectord.cf >/dev/null
ldirectord ldirectord.cf reload || true

# service ipvsadm: running enabled at boot   (resource.x["service"])
if test -d /run/systemd/system; then
  systemctl enable ipvsadm.service
  systemctl start ipvsadm.service
elif command -v rc-service >/dev/null 2>&1; then
  rc-update show | grep -q '^ *ipvsadm | .*default' || rc-update add ipvsadm default
  rc-service ipvsadm status >/dev/null 2>&1 || rc-service ipvsadm start
else
  if command -v update-rc.d >/dev/null 2>&1; then update-rc.d ipvsadm enable; else chkconfig ipvsadm on; fi
  /etc/init.d/ipvsadm start
fi

# To undo it:
#   (service ipvsadm: set it back to what it was)
#   (/etc/ha.d/ldirectord.cf: take out the lines between # lvsform begins and ends: web)
#   rm /etc/keepalived/lvsform/web.conf
#   ipvsadm --delete-service --fwmark-service 7 --ipv6
#   ipvsadm --delete-service --udp-service '[2001:db8::100]:53'
#   ipvsadm --delete-service --tcp-service 192.0.2.100:80
#   ipvsadm --stop-daemon master
#   ipvsadm --set 900 120 300
#   nft delete table inet lvsform
#   ip -4 rule delete from 203.0.113.0/24 to all fwmark 9 table 100 priority 1000
#   ip -6 route delete 2001:db8:9::/48 dev eth0 metric 1024 table 100
#   ip -4 route delete default
#   ip address delete 2001:db8::100/128 dev eth0
#   ip address delete 192.0.2.100/32 dev lo
#   (sysctl net.ipv4.ip_local_port_range: write back the value that it had)
#   (sysctl net.ipv4.conf.eth0/100.rp_filter: write back the value that it had)
#   (sysctl net.ipv4.ip_forward: write back the value that it had)
#   ip -6 fou del port 6081
#   ip -4 fou del port 6080
#   ip link set dev tunl0 down
#   ip link delete dev t6
#   (link eth0: set it back to what it was)
#   ip link delete dev d0
#   (service firewalld: set it back to what it was)
#   (package g++-12 can stay; remove it with the package manager if nothing else needs it)
#   (package ipvsadm can stay; remove it with the package manager if nothing else needs it)
