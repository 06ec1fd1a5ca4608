# Keeps one machine that has a root of its own: holds its disk, and starts it again when it reboots. Runs in a mount namespace of its
# own, so that nothing is ever mounted on the host; when it dies the kernel ends all of the machine, mounts too.
# Arguments: FOLDER TEMPLATE DISK_MB HOSTNAME HOSTS [OTHER_MOUNT_POINT]...
# Read whole before any of it runs: a new version may be written over the file meanwhile.
main() {
  set -eu
  umask 022
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  folder=$1 template=$2 disk_mb=$3 hostname=$4 hosts=$5
  shift 5
  start_of() { start=${20}; }

  # One keeper to a folder: the second, late one of a killed provider gives way.
  read -r stat </proc/self/stat
  # Behind the name: the start time is field 22 of proc(5), and the first one here is field 3.
  # shellcheck disable=SC2086
  start_of ${stat##*) }
  set -C
  echo "${stat%% *} $start" >"$folder/keeper" || exit 0
  set +C

  cd "$folder"
  mount -t tmpfs -o "size=${disk_mb}m,mode=0755" slipway disk
  cp -a "$template/." disk/
  (cd disk && sh overlays.sh "$folder" "$hostname" "$hosts" "$@")

  code=64
  while [ $code = 64 ]; do
    code=0
    setpriv --pdeathsig KILL unshare --mount --propagation private --pid --uts --ipc --fork --kill-child=KILL \
      sh disk/boot.sh "$folder" "$hostname" || code=$?
    : >boot
  done
  echo "$code" >ended
}
main "$@"
