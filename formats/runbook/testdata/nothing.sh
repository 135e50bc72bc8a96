#!/bin/sh
# Host rs4 of topology "web". Run this as root on it, as a script.
# It can be run again: what is there already stays, or is set again.
# It changes the running system alone. To have all of it after a reboot too, run it at boot, when the interfaces are up.

# Nothing is declared on this host.
