ip route del 10.99.0.1/32 dev lo 2>/dev/null
ip address del 10.99.0.1/32 dev lo 2>/dev/null
rm -f /etc/sysctl.d/*
sysctl -qw net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.all.arp_announce=0 net.ipv4.conf.lo.arp_ignore=0 net.ipv4.conf.lo.arp_announce=0
