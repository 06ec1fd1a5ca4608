#!/bin/sh
# reboot, poweroff, halt and shutdown of a machine: its pid 1 is no systemd and it has no CAP_SYS_BOOT, by design.
word=reboot
force=
case ${0##*/} in poweroff | halt) word=poweroff ;; shutdown) word=poweroff ;; esac
for argument; do
  case $argument in
    -f | --force | -nf | -fn) force=yes ;;
    -r | --reboot) word=reboot ;;
    -p | -h | -P | -H | --poweroff | --halt) [ "${0##*/}" = reboot ] || word=poweroff ;;
    -c | --help) echo "usage: ${0##*/} [-f]" && exit 0 ;;
  esac
done
if [ "$(id -u)" != 0 ]; then
  echo "${0##*/}: only root may do this" >&2
  exit 1
fi
trap '' HUP TERM PIPE INT
if [ -z "$force" ]; then
  # As a real one does: everybody is asked to end, and has a moment for it.
  kill -TERM -1
  n=0
  while [ $n -lt 20 ]; do
    set -- /proc/[0-9]*
    # pid 1 and we ourselves.
    [ $# -gt 2 ] || break
    sleep 0.05
    n=$((n + 1))
  done
fi
echo $word >/run/initctl
# Nothing of us outlives it.
sleep 5
echo "${0##*/}: the machine did not end" >&2
exit 1
