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

  # Whoever opens it wakes a machine that is off.
  mkfifo -m 600 power
  code=64
  while [ $code = 64 ]; do
    code=0
    echo "$(date -u +%FT%TZ) boots"
    setpriv --pdeathsig KILL unshare --mount --propagation private --pid --uts --ipc --fork --kill-child=KILL \
      sh disk/boot.sh "$folder" "$hostname" || code=$?
    : >boot
    echo "$(date -u +%FT%TZ) is down ($code)"
    [ -e off ] || continue
    : >halted
    while [ -e off ]; do
      read -r _ <power || :
    done
    rm halted
    code=64
  done
  echo "$code" >ended
}
main "$@"
