# Part of the reset protocol (reset-protocol.sh): what is different from the baseline, and how it is undone.

# From the state of the baseline, digests of files that were touched, and a state of now: a line for each difference,
# "KIND PATH TYPE MODE UID GID TARGET" for files (TYPE 4 a folder, 8 a file, a a link), "KIND WHAT MORE" for the rest.
DIFFER='
  BEGIN { FS = OFS = "\t" }
  function type(mode) { return substr(mode, 1, length(mode) - 3) }
  function wanted(kind, path) {
    print kind, path, type(mode[path]), substr(mode[path], length(mode[path]) - 2), owner[path], (path in target ? target[path] : "-")
  }
  FILENAME == ARGV[1] {
    if ($1 == "k") { mode[$2] = $3; owner[$2] = $4 OFS $5; body[$2] = $6 OFS $7; id[$2] = $8 OFS $9 }
    else if ($1 == "t") target[$2] = $3
    else if ($1 == "c") sum[$2] = $3
    else if ($1 == "p") { known[$2 OFS $3]; if ($6 ~ /\.service$/ && $6 !~ /\/sshd?(@.*)?\.service$/) service[$5 OFS $6 OFS $8] }
    else had[$0]
    next
  }
  FILENAME == ARGV[2] { fresh[$1] = $2; next }
  $1 == "k" {
    there[$2]
    if (!($2 in mode)) { print "added", $2; next }
    was = type(mode[$2])
    if (was !~ /^[48a]$/ && was == type($3)) next
    same = mode[$2] == $3 && owner[$2] == $4 OFS $5
    if (was == "8") same = same && body[$2] == $6 OFS $7 && (id[$2] == $8 OFS $9 || ($2 in sum && fresh[$2] == sum[$2]))
    if (!same) wanted("changed", $2)
    next
  }
  $1 == "t" && $2 in target && target[$2] != $3 { wanted("changed", $2) }
  $1 == "p" { parent[$2] = $4; line[$2] = $0; mark[$2] = $7; next }
  !($0 in had) && index("lsmih", $1) {
    print ($1 == "l" ? "loose" : $1 == "s" ? "socket" : $1 == "m" ? "mount" : $1 == "i" ? "ipc" : "host"), $2, $3
  }
  $1 == "u" && !($0 in had) { print "unit", $2 }
  { there[$0] }
  END {
    for (path in mode) if (!(path in there) && type(mode[path]) ~ /^[48a]$/) wanted("missing", path)
    for (thing in had) if (!(thing in there)) {
      split(thing, part, OFS)
      if (part[1] == "m") print "unmounted", part[2]
      if (part[1] == "u") print "stopped", part[2]
      if (part[1] == "h") print "hostname", part[2]
    }
    print "complete", "-"
    for (pid = me; pid in parent; pid = parent[pid]) ours[pid]
    for (pid in line) {
      for (up = pid; up in parent && up != me; up = parent[up]) if (mark[up]) mark[pid] = 1
      split(line[pid], part, OFS)
      if (pid in ours || up == me || !mark[pid] || (pid OFS part[3]) in known) continue
      if (!((part[5] OFS part[6] OFS part[8]) in service)) print "process", pid, part[8]
    }
  }'

# Looks, and writes the differences to WORK/found, in order of paths; fails where it could not look.
find_out() {
  look >"$WORK/now" && true >"$WORK/fresh" && differences >"$WORK/found" || return
  # Touched is not changed: what has a copy is judged by its content.
  found changed | awk -F"$TAB" '$3 == "8" { print $2 }' | digests >"$WORK/fresh" || return
  [ ! -s "$WORK/fresh" ] || differences >"$WORK/found" || return
  grep -q '^complete' "$WORK/found"
}
differences() { awk -v me=$$ "$DIFFER" "$B/state" "$WORK/fresh" "$WORK/now" | sort -t "$TAB" -k2,2; }
# "PATH SHA256" of each plain file named on stdin.
digests() {
  while IFS= read -r at; do [ ! -f "$at" ] || [ -L "$at" ] || printf '%s\0' "$at"; done |
    xargs -0 -r sha256sum -- 2>/dev/null | awk '
      { escaped = sub(/^\\/, ""); path = substr($0, 67); if (escaped) gsub(/\\\\/, "\\", path); print path "\t" substr($0, 1, 64) }'
}
found() { # KIND...: their lines of WORK/found
  awk -F"$TAB" -v kinds=" $* " 'index(kinds, " " $1 " ")' "$WORK/found"
}

UNDONE='added loose missing changed process mount ipc hostname unit stopped'
undo() {
  found unit | cut -f2 | while read -r unit; do systemctl kill -s KILL "$unit"; systemctl stop --no-block "$unit"; done
  strike
  found mount | sort -r | cut -f2 | while IFS= read -r at; do umount -l "$(printf '%b' "$at")"; done
  gone=
  odd_names -prune -exec rm -rf {} +
  found added loose | cut -f2 | while IFS= read -r at; do
    [ -n "$gone" ] && under "$at" "$gone" && continue
    away "$at"
    gone=$at
  done
  found missing changed | while IFS=$TAB read -r kind at type mode uid gid target; do
    restore "$at" "$type" "$mode" "$uid" "$gid" "$target"
  done
  found ipc | while read -r kind what id; do
    case $what in shm) ipcrm -m "$id" ;; msg) ipcrm -q "$id" ;; sem) ipcrm -s "$id" ;; esac
  done
  found hostname | while read -r kind name; do hostname "$name" || printf '%s\n' "$name" >/proc/sys/kernel/hostname; done
  if [ $MODE = whole ]; then
    if [ -d /run/systemd/system ]; then
      systemctl daemon-reload
      systemctl reset-failed
      found stopped | cut -f2 | while read -r unit; do systemctl start --no-block "$unit"; done
      journalctl --rotate --vacuum-time=1s
    fi
    for at in $(cd /run/user && set +f && echo *); do find "/run/user/$at" -xdev -type f -newer "$B/stamp" -exec rm -f {} +; done
    # Logs tell who was here and what was run.
    find /var/log -xdev -type f -newer "$B/stamp" ! -path '/var/log/journal/*' -exec sh -c 'for log; do true >"$log"; done' sh {} +
  fi
} >/dev/null 2>&1

# Again and again: what they start meanwhile is found too. Stopped first, none can start another while we go through them.
strike() {
  i=0
  while [ $i -lt 40 ]; do
    pids=$(found process | cut -f2)
    [ -n "$pids" ] || break
    kill -STOP $pids
    kill -KILL $pids
    nap 05
    look_processes >"$WORK/now"
    differences >"$WORK/again"
    # What lies in files stays as it was found before.
    { found $UNDONE | grep -v "^process$TAB"; grep "^process$TAB" "$WORK/again"; } >"$WORK/found.new"
    mv -f "$WORK/found.new" "$WORK/found"
    i=$((i + 1))
  done
}
away() {
  # What is still mounted below is not ours to empty.
  while read -r _ _ _ _ mounted _; do ! under "$mounted" "$1" || return; done </proc/self/mountinfo
  rm -rf -- "$1" && [ ! -e "$1" ] && [ ! -L "$1" ] && return
  [ -L "$1" ] || { chattr -R -i -a "$1"; chmod -R u+rwX "$1"; }
  rm -rf -- "$1"
}
restore() { # PATH TYPE MODE UID GID TARGET
  new=${1%/*}/.slipway-reset.$$ now=none
  rm -rf "$new"
  if [ -L "$1" ]; then now=a; elif [ -d "$1" ]; then now=4; elif [ -f "$1" ]; then now=8; elif [ -e "$1" ]; then now=other; fi
  [ $now = none ] || [ $now = "$2" ] || away "$1"
  case $2 in
    4)
      [ -d "$1" ] || mkdir "$1"
      chown "$4:$5" "$1"
      chmod "$(octal "$3")" "$1"
      ;;
    a)
      ln -s "$6" "$new" && chown -h "$4:$5" "$new"
      mv -fT "$new" "$1" || { rm -f "$1" && mv -f "$new" "$1"; }
      ;;
    8)
      [ -f "$B/files$1" ] || return
      chattr -i -a "$1"
      cp -a -- "$B/files$1" "$new" && mv -f "$new" "$1" || rm -f "$new"
      ! command -v restorecon || restorecon "$1"
      ;;
  esac
}
octal() { printf '%o' $((0x$1 & 07777)); }
