#!/bin/busybox sh
# The first process of a machine that is one host: puts a layer on a disk, which
# a reset does not take away, on top of this machine's own files, and goes on as
# systemd. The first boot makes the layer from /seed.
b=/bin/busybox
$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
while read -r module; do $b insmod $module; done </order
$b mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose root /lower || $b poweroff -f
$b mount -t ext4 /dev/vda /layer || $b poweroff -f
. /boot.sh
if ! $b test -e /layer/made; then
  $b mkdir -p /layer/upper /layer/work
  for path in $hidden; do # a whiteout; a directory that is made in its place has nothing of the lower one
    $b mkdir -p "/layer/upper/$($b dirname $path)"
    $b mknod "/layer/upper/$path" c 0 0
  done
fi
$b mount -t overlay -o lowerdir=/lower,upperdir=/layer/upper,workdir=/layer/work root /new
lib=/new/usr/lib; $b test -L /new/lib || lib=/new/lib
if ! $b test -e /layer/made; then
  $b cp -a /seed/. /new/
  $b mkdir -p $lib/modules
  $b sync
  : >/layer/made
  $b sync
fi
$b mount -o bind /lower$modules/lib/modules $lib/modules
name() { $b ip link set "$1" name "$2"; }
rename
for dir in proc sys dev; do $b mount --move /$dir /new/$dir; done
$b mount -t tmpfs -o mode=755 run /new/run
$b mkdir -p /new/run/lvsform-lab
$b cp /boot.json /new/run/lvsform-lab/boot.json
exec $b switch_root /new /lib/systemd/systemd
