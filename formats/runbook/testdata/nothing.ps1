# Host rs4 of topology "web". Run this in an elevated PowerShell on it.
# It can be run again: what is there already stays. It survives a reboot.

# Nothing is declared on this host.
