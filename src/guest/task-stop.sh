# Part of the task protocol (task-protocol.sh): the time limit, and stopping all of a task.

keep() { # LIMIT_MS GRACE_MS: the time limit; ended by the wrapper when the command has ended
  trap 'kill $!; exit' TERM
  sleep "$(seconds "$1")" &
  wait $!
  trap - TERM
  true >"$D/timed-out"
  stop "$2"
}
seconds() {
  t=$(($1 % 1000 + 1000))
  echo "$(($1 / 1000)).${t#1}"
}

# Sends a signal to the whole task and prints who is left. Runs as the task's user. The task is: the command's group,
# unless its number has gone to somebody else; whoever carries the cookie (setsid escapes the group) or the mark, which a
# process keeps that drops its environment; the unit's cgroup but for the wrapper's own session.
STRIKE='sig=$1 id=$2 pid=$3 started=$4 session=$5 mark=$6
stat_of() { { read -r stat <"/proc/$1/stat"; } 2>/dev/null && set -- ${stat##*) } && state=$1 sid=$4 born=${20}; }
members() {
  grep -lzx "SLIPWAY_TASK=$id" /proc/[0-9]*/environ | cut -d/ -f3
  [ "$mark" = unlimited ] || grep -l "^Max file size  *$mark " /proc/[0-9]*/limits | cut -d/ -f3
  for unit in /sys/fs/cgroup/system.slice /sys/fs/cgroup/systemd/system.slice; do
    unit=$unit/slipway-task-$id.service/cgroup.procs
    [ ! -e "$unit" ] || while read -r q; do stat_of "$q" && [ "$sid" != "$session" ] && echo "$q"; done <"$unit"
  done
}
if [ "$pid" != - ] && { ! stat_of "$pid" || [ "$born" = "$started" ]; }; then kill -"$sig" -"$pid"; fi
for q in $(members); do [ "$q" = $$ ] || kill -"$sig" "$q"; done
for q in $(members); do [ "$q" != $$ ] && stat_of "$q" && case $state in Z | X) ;; *) echo "$q" ;; esac; done'
strike() { # SIGNAL; sets LEFT
  C=- CS=-
  command_pid
  mark "${P:-0}" "${S:-0}"
  set -- sh -c "$STRIKE" sh "$1" "$ID" "$C" "$CS" "$P" "$MARK"
  [ "$AS" = - ] || [ "$(id -u)" = 0 ] || [ "$AS" = "$(id -un)" ] || set -- sudo -n -u "$AS" -- "$@"
  LEFT=$("$@" 2>/dev/null)
}
stop() { # GRACE_MS: TERM, then KILL to what is left after the grace
  look
  [ "$B" = "$BOOT" ] || return
  true >"$D/term"
  strike TERM
  uptime
  until=$((UP + $1))
  while ! { [ -z "$LEFT" ] && { ended || ! alive "$P" "$S" "$B"; }; }; do
    uptime
    [ $UP -lt $until ] || break
    if [ $UP -lt $((until - $1 + 1000)) ]; then nap 05; else nap 25; fi
    strike 0
  done
  if [ -n "$LEFT" ] || { ! ended && alive "$P" "$S" "$B"; }; then
    true >"$D/kill"
    i=0
    while strike KILL && [ -n "$LEFT" ] && [ $i -lt 40 ]; do
      nap 05
      i=$((i + 1))
    done
  fi
  i=0
  while ! ended && alive "$P" "$S" "$B" && [ $i -lt 100 ]; do
    nap 05
    i=$((i + 1))
  done
}

kill_task() { # GRACE_MS cancelled|timed-out
  mkdir -p "$D" 2>/dev/null || refuse disk "cannot write to $BASE"
  look
  case $ST in
    absent) true >"$D/$2" || refuse disk "no space left in $BASE" ;;
    running | orphan | lost) true >"$D/$2" ;; # worth a mark, but not worth sparing the task where there is no room
  esac
  look # a launch may have come between
  case $ST in
    running | orphan | lost | exited)
      i=0
      while [ $ST = running ] && ! command_pid && ! ended && [ $i -lt 100 ]; do
        nap 02
        i=$((i + 1))
      done
      # After the end only what the command left behind is struck, and nothing of the record changes.
      if [ $ST = exited ]; then [ $R = 1 ] || finish_off "$1"; else stop "$1"; fi
      ;;
  esac
  look
  reply "$ANSWER"
}
finish_off() { # GRACE_MS
  strike TERM
  i=0
  while [ -n "$LEFT" ] && [ $((i * 50)) -lt "$1" ]; do
    nap 05
    i=$((i + 1))
    strike 0
  done
  [ -z "$LEFT" ] || strike KILL
}
