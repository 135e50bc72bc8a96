set -e
sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2 \
  net.ipv4.conf.lo.arp_ignore=1 net.ipv4.conf.lo.arp_announce=2
ip address replace 10.99.0.1/32 dev lo label lo:0
ip route replace 10.99.0.1/32 dev lo
