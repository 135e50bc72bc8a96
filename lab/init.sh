#!/bin/busybox sh
# The first process of the lab's machine: puts a vanishing layer on top of this
# machine's own files, and runs /run.sh of the boot's RAM disk in it.
b=/bin/busybox
$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
while read -r module; do $b insmod $module; done </order
# Nothing changes below, and what does must not fill the memory: loose caching.
$b mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose root /lower || $b poweroff -f
$b mount -t tmpfs -o size=80% layer /layer
$b mkdir /layer/upper /layer/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/layer/upper,workdir=/layer/work root /new
# /lib is a link to usr/lib on merged systems, and may not be on others.
lib=/new/usr/lib; $b test -L /new/lib || lib=/new/lib
$b mkdir -p $lib/modules /new/proc /new/sys /new/dev /new/run /new/tmp
. /boot.sh
$b mount -o bind /lower$modules/lib/modules $lib/modules
for dir in proc sys dev; do $b mount --move /$dir /new/$dir; done
$b mkdir -p /new/dev/pts /new/dev/shm
$b mount -t devpts pts /new/dev/pts
$b mount -t tmpfs shm /new/dev/shm
$b mount -t tmpfs run /new/run
$b mount -t cgroup2 cgroup /new/sys/fs/cgroup
$b mkdir -p /new/run/lvsform-lab/lower
$b mount --move /lower /new/run/lvsform-lab/lower
$b cp /boot.json /new/run/lvsform-lab/boot.json
exec $b switch_root /new /bin/sh -c "$program; echo o >/proc/sysrq-trigger; sleep 60"
