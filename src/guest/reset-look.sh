# Part of the reset protocol (reset-protocol.sh): what there is now, as lines of a state. Functions in ( ) split at lines.

# "k PATH mode uid gid size mtime ctime inode", and "t PATH target" of links.
look_kept() (
  IFS=$NL
  find $KEPT -xdev \( $PRUNE \) -prune -o -exec stat -c "k$TAB%n$TAB%f$TAB%u$TAB%g$TAB%s$TAB%Y$TAB%Z$TAB%i" {} +
  find $KEPT -xdev \( $PRUNE \) -prune -o -type l -exec stat -c %N {} + |
    sed "s/^'//;s/'\$//;s/' -> '/ -> /;s/ -> /$TAB/;s/^/t$TAB/"
) 2>/dev/null
# "l PATH", names alone.
look_loose() (
  IFS=$NL mine=
  [ $MODE != user ] || mine="-user$NL$(id -u)"
  {
    [ $MODE != whole ] || { find / -maxdepth 1 -mindepth 1 && find /dev -xdev -type f; }
    [ -z "$FREE" ] || find $FREE -xdev -mindepth 1 \( $PRUNE \) -prune -o $mine -print
  } | grep -v "$FLEETING" | sed "s/^/l$TAB/"
) 2>/dev/null
# Names that no line of a state can hold.
odd_names() ( # WHAT FIND DOES WITH THEM
  IFS=$NL
  find $KEPT $FREE -xdev \( $PRUNE \) -prune -o -name '*[[:cntrl:]]*' "$@"
) 2>/dev/null
# "n PATH": what has changed since the baseline in places that nobody restores.
look_newer() (
  [ $MODE = whole ] || exit 0
  newer=-cnewer
  find / -maxdepth 0 -cnewer "$B/stamp" >/dev/null || newer=-newer # busybox
  IFS=$NL
  others="/proc$NL/sys$NL/dev$NL/run$NL$KEPT$NL$FREE"
  prune=$PRUNE$NL-o$NL$(leaving_out $others)
  for at in $(mount_points); do
    ! in_or_under "$at" $others || continue
    # A lower layer of an overlay may be shared with others who change it. What it holds has another device than new
    # files, also when it was changed here: that counts in the system's own folders.
    layered=$(AT=$at awk '$5 == ENVIRON["AT"] && / - overlay / { print 1; exit }' /proc/self/mountinfo)
    probe=${at%/}/.slipway-reset.$$ dev=
    [ -z "$layered" ] || { true >"$probe" && dev=$(stat -c %d "$probe") && rm -f "$probe"; } || continue
    find "$at" -xdev \( $prune \) -prune -o $newer "$B/stamp" -exec stat -c "%d$TAB%F$TAB%n" {} + |
      AT=$at awk -F"$TAB" -v dev="${dev:-$(stat -c %d "$at")}" -v layered="$layered" '
        layered && ($2 == "directory" || ($1 != dev && $3 !~ /^\/(usr|bin|sbin|lib[^\/]*|boot)\//)) { next }
        (layered || $1 == dev) && $3 != ENVIRON["AT"] { print "n\t" $3 }'
  done
) 2>/dev/null

# "p PID START PPID UID CGROUP MARK EXE" of every process but the kernel's own. MARK is 1 for what is this machine's,
# where processes of others are seen too. Few forks for all of them: there may be thousands.
look_processes() (
  set +f
  {
    [ $MODE != plain ] || marked
    ls -l /proc/[0-9]*/exe
    grep -Hs '' /proc/[0-9]*/stat
    grep -Hs '^Uid:' /proc/[0-9]*/status
    [ ! -d /run/systemd/system ] || grep -Hs '^0::\|:name=systemd:' /proc/[0-9]*/cgroup
  } | awk -v mode=$MODE -v me="$(id -u)" '
    /^mark / { marked[$2]; next }
    !match($0, /\/proc\/[0-9]+\/[a-z]+/) { next }
    {
      split(substr($0, RSTART), part, "/")
      pid = part[3]
      rest = substr($0, RSTART + RLENGTH + 1)
      kind = substr($0, RSTART, RLENGTH)
      sub(/.*\//, "", kind)
    }
    kind == "exe" { exe[pid] = substr(rest, 4) }
    kind == "status" { split(rest, part, "\t"); uid[pid] = part[2] }
    kind == "cgroup" { cgroup[pid] = rest; sub(/^[^:]*:[^:]*:/, "", cgroup[pid]) }
    # The name in it may hold anything, also the end of a line.
    kind == "stat" { stat[pid] = stat[pid] " " rest }
    END {
      for (pid in stat) {
        sub(/.*\) /, "", stat[pid])
        split(stat[pid], part, " ")
        if (part[1] ~ /^[ZX]$/ || part[2] == 2 || (part[2] == 0 && pid == 2)) continue
        mark = mode == "whole" || (mode == "user" && uid[pid] == me) || pid in marked
        printf "p\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", pid, part[20], part[2], uid[pid], \
          (pid in cgroup ? cgroup[pid] : "-"), mark, (pid in exe ? exe[pid] : "-")
      }
    }'
) 2>/dev/null
# "mark PID" of what carries the mark of the machine, or its limit of file size (one that is none: above any file, and the
# machine's own), or stands in its home, or has a file of it open.
marked() (
  set +f
  hard=$(awk '/^Max file size/ && length($5) >= 19 { print $5 }' /proc/self/limits)
  [ -z "$hard" ] || grep -ls "^Max file size .* $hard " /proc/[0-9]*/limits | cut -d/ -f3 | sed 's/^/mark /'
  grep -lszxF "SLIPWAY_MACHINE=$SLIPWAY_MACHINE" /proc/[0-9]*/environ | cut -d/ -f3 | sed 's/^/mark /'
  ls -l /proc/[0-9]*/cwd /proc/[0-9]*/fd | awk '
    BEGIN { home = ENVIRON["HOME"] }
    /^\/proc\/[0-9]+\/fd:$/ { split($0, part, "/"); pid = part[3] }
    (at = index($0, " -> ")) {
      target = substr($0, at + 4)
      if (target != home && index(target, home "/") != 1) next
      if (match($0, /\/proc\/[0-9]+\/cwd -> /)) { split(substr($0, RSTART), part, "/"); pid = part[3] }
      print "mark", pid
    }'
)

# "s PROTOCOL ADDRESS" that processes here listen on; the network may be shared with others.
look_sockets() (
  set +f
  ls -l /proc/[0-9]*/fd >"$WORK/fds"
  for net in tcp tcp6 udp udp6; do sed "s/^/$net /" /proc/net/$net; done | awk -v fds="$WORK/fds" '
    BEGIN { while ((getline line <fds) > 0) if (match(line, /socket:\[[0-9]+/)) held[substr(line, RSTART + 8, RLENGTH - 8)] = 1 }
    $11 in held && ($1 ~ /^tcp/ && $5 == "0A" || $1 ~ /^udp/ && $5 == "07") { print "s\t" $1 "\t" $3 }'
) 2>/dev/null
# "m PLACE ROOT TYPE" of mounts, "i KIND ID" of System V objects, "h NAME" of the host, "u UNIT" of systemd.
look_system() (
  while read -r _ _ _ root at rest; do
    type=${rest##* - }
    type=${type%% *}
    case $at,$type in /run/user/* | /run/credentials/* | /proc/* | /sys/* | *,autofs) continue ;; esac
    printf 'm\t%s\t%s\t%s\n' "$at" "$root" "$type"
  done </proc/self/mountinfo
  for kind in shm msg sem; do awk -v kind=$kind 'NR > 1 { print "i\t" kind "\t" $2 }' /proc/sysvipc/$kind; done
  printf 'h\t%s\n' "$(uname -n)"
  [ ! -d /run/systemd/system ] || systemctl list-units --plain --no-legend --state=active,activating,reloading |
    awk '$1 ~ /\.(service|timer|socket|path)$/ && $1 !~ /^(slipway-task-|user@|user-runtime-dir@)/ { print "u\t" $1 }'
) 2>/dev/null

# All of it but what is newer, in order.
look() {
  {
    look_kept
    look_loose
    look_processes
    [ $MODE != whole ] || { look_sockets && look_system; }
  } | sort -u
}
