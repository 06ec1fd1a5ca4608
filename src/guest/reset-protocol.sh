# The reset protocol: remembers what a machine is like before its first tenant, and takes away what tenants left. POSIX sh
# (dash, bash, busybox ash), Linux. Sent to the guest as one script: this part, reset-look.sh, reset-undo.sh, reset-verbs.sh.
#
#   sh BASE/bin/THIS baseline|reset|compare      stdin: a nonce line, a line with the digest that baseline answered (or -),
#                                                then one folder a line that is left alone; answers are "RS NONCE words"
#
# BASE/baseline/  state   what there is, one thing a line: "KIND TAB …"     stamp   when
#                 files/  copies of what can be restored                  room    for looking around on a disk that is full
# Nothing here waits for what a tenant made: no fifo or device is opened, no network file system entered.
# Run twice, or cut anywhere, it starts from what it finds.
set -uf
umask 077
LC_ALL=C QUOTING_STYLE=literal
export LC_ALL QUOTING_STYLE
# Not the session's: a tenant's rc files may have set that.
PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin
export PATH
unset LD_PRELOAD LD_LIBRARY_PATH CDPATH
case $0 in /*) SELF=$0 ;; *) SELF=$PWD/$0 ;; esac
BASE=${SELF%/bin/*}
B=$BASE/baseline WORK=$BASE/reset.$$
NONCE=- TAB='	' NL='
'

reply() { printf '\036%s %s\n' "$NONCE" "$*"; }
refuse() { # CODE TEXT
  reply "refused $*"
  exit 0
}
nap() { sleep "0.$1" 2>/dev/null || sleep 1; }

# How much is ours to look at. `plain`: a machine that is no more than a home and processes, which its provider marks.
# `whole`: all of it, as root or by sudo. `user`: what a login user without rights can have changed.
MODE=user
if [ -n "${SLIPWAY_MACHINE-}" ]; then
  MODE=plain
elif [ "$(id -u)" = 0 ]; then
  MODE=whole
elif sudo -n true 2>/dev/null; then
  exec sudo -n env "HOME=$HOME" sh "$SELF" "$@"
fi

# Restored in whole, in the order in which there is room for copies.
RESTORED='/etc /var/lib/slipway /root /home /var/spool /var/mail /opt /srv /mnt /media /tmp /var/tmp /usr/local'
# What is new in them is removed; what was there is the system's own and changes by itself.
LOOSE='/run /dev/shm /dev/mqueue /var/log /var/cache /var/lib/apt /var/lib/chrony /var/lib/cloud /var/lib/dhcp
/var/lib/dhcpcd /var/lib/logrotate /var/lib/misc /var/lib/NetworkManager /var/lib/ntp /var/lib/private /var/lib/sudo
/var/lib/systemd /var/lib/update-notifier'
# Of these, what daemons make anew whenever they like.
FLEETING='^/run/\(systemd\|udev\|log\|user\|credentials\|sudo\|utmp\|motd\)\(/\|\.\|$\)
^/run/.*\.\(pid\|lock\|sock\|socket\)$'
# File systems without files of tenants, or that may hang.
NOT_LOOKED_AT=' proc sysfs devtmpfs devpts cgroup cgroup2 securityfs debugfs tracefs bpf pstore configfs fusectl autofs
 binfmt_misc hugetlbfs rpc_pipefs efivarfs nsfs nfs nfs4 cifs smb3 ceph 9p virtiofs selinuxfs squashfs iso9660 '
# Bounds of the copies: KiB in all, bytes of one file, and how many trees.
COPY_KIB=65536 COPY_FILE=1048576 COPY_TREES=500

# Each on a line, as they really lie, without those that are not there or are a link to another.
roots() {
  for at; do
    if [ -d "$at" ] && [ ! -L "$at" ]; then (cd "$at" && pwd -P); fi
  done
}
under() { # PATH FOLDER...: below one of them
  path=$1
  shift
  for folder; do
    case $path in "${folder%/}"/?*) return ;; esac
  done
  return 1
}
in_or_under() { # PATH FOLDER...
  under "$@" && return
  path=$1
  shift
  for folder; do [ "$path" != "$folder" ] || return 0; done
  return 1
}
# Arguments of find that leave these out; a pattern character of a name means itself.
leaving_out() { # FOLDER...
  or=
  for at; do
    printf '%s-path\n%s\n' "$or" "$(printf '%s\n' "$at" | sed 's/[][*?\\]/\\&/g')"
    or="-o$NL"
  done
}
# Of file systems with files, each on a line.
mount_points() (
  unset IFS
  while read -r _ _ _ _ at rest; do
    type=${rest##* - }
    type=${type%% *}
    case $NOT_LOOKED_AT in *" $type "*) continue ;; esac
    case $type in fuse*) ;; *) [ ! -d "$at" ] || printf '%s\n' "$at" ;; esac
  done </proc/self/mountinfo | sort -u
)

# Sets KEPT (restored), FREE (loose) and PRUNE, a line for each word.
places() {
  KEPT='' FREE=''
  case $MODE in
    plain) KEPT=$(roots "$HOME") ;;
    user) KEPT=$(roots "$HOME") FREE=$(roots /tmp /var/tmp /dev/shm) ;;
    whole) KEPT=$(roots $RESTORED) FREE=$(roots $LOOSE) ;;
  esac
  points=$(mount_points)
  IFS=$NL
  if [ $MODE = whole ]; then
    in_or_under "$HOME" $KEPT || KEPT=$KEPT$NL$(roots "$HOME")
    # Another file system below one of them: find does not go there by itself.
    for at in $points; do ! under "$at" $KEPT || KEPT=$KEPT$NL$at; done
  fi
  PRUNE=$(leaving_out "$BASE" $LEFT_ALONE)
  unset IFS
}
