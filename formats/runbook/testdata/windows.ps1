# Host rs2 of topology "web". Run this in an elevated PowerShell on it.
# It can be run again: what is there already stays. It survives a reboot.
$ErrorActionPreference = 'Stop'

# The interface that has the host's own address.
$nic = (Get-NetIPAddress -IPAddress '192.168.34.27').InterfaceIndex

# A loopback adapter holds the VIPs: it is on no network, so nobody is told of them.
function Find-Loopback { Get-NetAdapter | Where-Object { $_.InterfaceDescription -match 'Loopback Adapter' } | Select-Object -First 1 }
$loopback = Find-Loopback
if (-not $loopback) {
    pnputil.exe /add-driver "$env:windir\inf\netloop.inf" /install
    if (-not (Get-Command devcon.exe -ErrorAction SilentlyContinue)) {
        throw 'There is no loopback adapter. Run hdwwiz.exe, choose to install by hand, Network adapters, Microsoft, Microsoft KM-TEST Loopback Adapter (or put devcon.exe into the PATH), then run this again.'
    }
    devcon.exe install "$env:windir\inf\netloop.inf" '*MSLOOP'
    $loopback = Find-Loopback
}
$loopback = $loopback.ifIndex
Set-DnsClient -InterfaceIndex $loopback -RegisterThisConnectionsAddress $false

# Packets to a VIP come in by the NIC, and the answers leave by it: both need the weak host model.
Set-NetIPInterface -InterfaceIndex $loopback -AddressFamily IPv4 -WeakHostReceive Enabled -WeakHostSend Enabled -AutomaticMetric Disabled -InterfaceMetric 254
Set-NetIPInterface -InterfaceIndex $nic -AddressFamily IPv4 -WeakHostReceive Enabled -WeakHostSend Enabled

# Packets to a VIP come in by the NIC, and the answers leave by it: both need the weak host model.
Set-NetIPInterface -InterfaceIndex $loopback -AddressFamily IPv6 -WeakHostReceive Enabled -WeakHostSend Enabled -AutomaticMetric Disabled -InterfaceMetric 254 -DadTransmits 0
Set-NetIPInterface -InterfaceIndex $nic -AddressFamily IPv6 -WeakHostReceive Enabled -WeakHostSend Enabled

# sysctl net.ipv4.conf.all.arp_ignore = 1   (module.web.x)
#   Not needed: Windows answers no ARP question about an address of the loopback adapter, and asks none with it.

# sysctl net.ipv4.conf.all.rp_filter = 0   (module.web.x)
#   Not needed: the weak host model above lets packets to the VIP in.

# sysctl net.ipv4.tcp_sack = 1   (module.web.x)
#   A setting of the Linux kernel: look whether Windows needs one like it.

# link tunl0 up   (module.web.x)
#   NOT POSSIBLE: Windows does not unwrap IPIP, GRE or GUE for a VIP. Use DR or NAT for this real server.

# address 192.168.34.41/32 on lo   (module.web.x)
if (-not (Get-NetIPAddress -InterfaceIndex $loopback -IPAddress '192.168.34.41' -ErrorAction SilentlyContinue)) {
    New-NetIPAddress -InterfaceIndex $loopback -IPAddress '192.168.34.41' -PrefixLength 32 -SkipAsSource $true | Out-Null
}

# address 2001:db8::41/128 on lo   (module.web.x)
if (-not (Get-NetIPAddress -InterfaceIndex $loopback -IPAddress '2001:db8::41' -ErrorAction SilentlyContinue)) {
    New-NetIPAddress -InterfaceIndex $loopback -IPAddress '2001:db8::41' -PrefixLength 128 -SkipAsSource $true | Out-Null
}

# address 192.168.34.42/32 on tunl0   (module.web.x)
#   NOT POSSIBLE: Windows does not unwrap IPIP, GRE or GUE for a VIP. Use DR or NAT for this real server.

# route 192.168.34.41/32 proto static dev lo scope link   (module.web.x)
#   Windows makes this route with the address.

# route default proto static via 192.168.34.40 scope global   (module.web.x)
if (-not (Get-NetRoute -DestinationPrefix '0.0.0.0/0' -NextHop '192.168.34.40' -ErrorAction SilentlyContinue)) {
    New-NetRoute -DestinationPrefix '0.0.0.0/0' -InterfaceIndex $nic -NextHop '192.168.34.40' | Out-Null
}
# Another default gateway would take answers past this one. This removes it:
#   Get-NetRoute -DestinationPrefix '0.0.0.0/0' | Where-Object NextHop -ne '192.168.34.40' | Remove-NetRoute

# route 10.0.0.0/8 table 100 proto static via 192.168.34.40 scope global   (module.web.x)
#   Windows has no such route: it knows one table, and routes by a gateway.

# service firewalld: stopped   (module.web.x)
#   By hand: Get-Service lists the services of Windows; Set-Service -StartupType, Start-Service and Stop-Service set one.

# sysctl net.ipv4.tcp_secret: its value is sensitive, and not shown

# To undo it:
#   Remove-NetRoute -DestinationPrefix '0.0.0.0/0' -NextHop '192.168.34.40'
#   Remove-NetIPAddress -IPAddress '2001:db8::41'
#   Remove-NetIPAddress -IPAddress '192.168.34.41'
#   Set-NetIPInterface -InterfaceIndex $nic -WeakHostReceive Disabled -WeakHostSend Disabled
