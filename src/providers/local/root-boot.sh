# One boot of a machine that has a root of its own, as pid 1 of its namespaces: the last mounts, the new root, fewer capabilities.
# The file `boot` gets its line when all is up: PID START BOOT_ID, as the host sees them. Arguments: FOLDER HOSTNAME
set -eu
umask 022
cd "$1"
start_of() { start=${20}; }
# The host's /proc still: only here can we see what we are called out there.
read -r stat </proc/self/stat
# shellcheck disable=SC2086
start_of ${stat##*) }
read -r boot_id </proc/sys/kernel/random/uuid
# The file belongs to the host's root: in a namespace of users only the call will do.
{ echo "$2" >/proc/sys/kernel/hostname; } 2>/dev/null || hostname "$2"
echo "$boot_id" >disk/boot_id
exec 3>boot

# Without a word in the host's /run/mount/utab; and with a code that is none of the keeper's.
mount -n --all --fstab fstab || exit 1
cp -a disk/dev disk/run root/
# Where devices cannot be made, the host's harmless ones are bound.
[ ! -s devices ] || mount -n --all --fstab devices || exit 1
cd root
pivot_root . run/old
cd /
umount -l /run/old
read -r capabilities </usr/lib/slipway/capabilities
exec setpriv --bounding-set "$capabilities" sh /usr/lib/slipway/init "${stat%% *} $start $boot_id"
