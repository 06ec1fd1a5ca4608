# Part of the task protocol (task-protocol.sh): launching, and the wrapper that runs the command and records its end.

launch() { # USER LIMIT_MS GRACE_MS STDIN(0|1), program text on stdin, closed by the nonce
  look
  if [ $ST = absent ]; then
    program=$(cat)
    case $program in *"$NONCE") program=${program%"$NONCE"} ;; *) refuse truncated 'the launch did not arrive whole' ;; esac
    mkdir -p "$D" "$BASE/active" 2>/dev/null || refuse disk "cannot write to $BASE"
    [ "$4" = 0 ] || [ -e "$D/stdin" ] || refuse stdin 'the stdin file is not there'
    said=
    ! units_work || { by_systemd "$@" && said=claimed; }
    # The second setsid leads a group: so it forks, and the first is done. (Of what `&` starts, a shell ignores INT and QUIT.)
    [ -n "$said" ] ||
      said=$(printf '%s' "$program" | setsid setsid sh "$SELF" run "$ID" "$@" "${HOME:-/}" "$PATH" 2>/dev/null)
    look
    [ $ST != absent ] || refuse disk "${said:-the wrapper could not start in $BASE}"
  fi
  reply "$ANSWER"
}

# logind may kill a user's processes at logout (KillUserProcesses=), but not a unit of the system manager. A provider that
# marks its machine by SLIPWAY_ variables, because that is no more than processes, must find its processes again: no unit.
units_work() {
  [ -d /run/systemd/system ] && read -r first </proc/1/comm && [ "$first" = systemd ] || return
  command -v systemd-run >/dev/null && [ -z "$(marks)" ] && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }
}
marks() { env | sed -n 's/^\(SLIPWAY_[A-Z0-9_]*\)=.*/\1/p' | grep -vx SLIPWAY_TASK; }
by_systemd() { # the program goes through a FIFO: it never lies on the disk
  unit=slipway-task-$ID fifo=$D/fifo.$$
  mkfifo "$fifo" 2>/dev/null || return 1
  printf '%s' "$program" >"$fifo" &
  feeder=$!
  set -- -q --collect --unit="$unit" -p KillMode=process -p OOMPolicy=continue -p StandardInput=null \
    -p IgnoreSIGPIPE=no --uid="$(id -u)" --gid="$(id -g)" sh "$SELF" run "$ID" "$@" "${HOME:-/}" "$PATH" "$fifo"
  if [ "$(id -u)" = 0 ]; then systemd-run "$@"; else sudo -n systemd-run "$@"; fi </dev/null >/dev/null 2>&1
  i=0
  while [ ! -e "$D/start" ] && [ $i -lt 100 ]; do
    nap 02
    i=$((i + 1))
  done
  kill "$feeder" 2>/dev/null
  rm -f "$fifo"
  [ -e "$D/start" ]
}

run() { # the wrapper, in a session of its own: USER LIMIT_MS GRACE_MS STDIN HOME PATH [FIFO]
  # From before the claim until the record; not '': children must get the default actions.
  keeper=''
  trap : TERM INT HUP
  [ $# -lt 7 ] || exec <"$7"
  program=$(cat)
  exec </dev/null 2>/dev/null
  cd "$D" || exit
  user=$1 limit=$2 grace=$3 stdin=/dev/null home=$5 PATH=$6
  [ "$4" = 0 ] || stdin=stdin
  read -r BOOT </proc/sys/kernel/random/boot_id || BOOT=-
  process $$ || exit
  # Everything that the end will need is made before the claim: a full disk refuses the launch and leaves none.
  {
    echo "$$ $STIME $BOOT $user" >"s.$$" && [ -s "s.$$" ] && true >>out && true >>err &&
      true >"p.$$" && true >"q.$$" && true >"u.$$" && true >"v.$$"
  } || {
    rm -f "s.$$" "p.$$" "q.$$" "u.$$" "v.$$"
    echo "no space left in $BASE"
    exit
  }
  # The claim: one atomic step, and complete from its first moment.
  ln "s.$$" start || {
    [ -e start ] || echo "no hard links in $BASE"
    rm -f "s.$$" "p.$$" "q.$$" "u.$$" "v.$$"
    exit
  }
  rm -f "s.$$"
  # Cleaned while this launch was on its way: the tombstone stood before the folder went.
  [ ! -e "$BASE/gone/$ID" ] || {
    cd / && rm -rf "$D"
    exit
  }
  ln start "$BASE/active/$ID"
  exec >/dev/null
  sync start . &
  uptime
  began=$UP
  if [ -e cancelled ] || [ -e timed-out ]; then
    rc=143
  else
    begin
  fi
  uptime
  ms=$((UP - began))
  sizes
  mv "p.$$" "exit.$rc.$O.$E.$ms"
  rm -f "$BASE/active/$ID" stdin "u.$$" "v.$$"
  for f in wake.*; do
    q=${f#wake.}
    [ -e "$f" ] && process "${q%.*}" && [ "$STIME" = "${q#*.}" ] && kill "${q%.*}"
  done
  # At its limit the keeper still has to KILL what the command leaves behind.
  [ -z "$keeper" ] || [ -e timed-out ] || kill "$keeper"
}
uptime() { # milliseconds of the guest's own clock, which nobody sets
  read -r UP rest </proc/uptime || UP=0.00
  UP=$((${UP%.*} * 1000 + (1${UP#*.} - 100) * 10))
}

# The command's first step writes down who it is, and takes the mark by which all that it starts is found (task-stop.sh):
# a soft limit of file size that is none. A lower one stays.
FIRST='n=$1 q=$2; shift 2
{
  was=$(ulimit -S -f)
  if [ "$was" = unlimited ] || [ "$was" -gt "$n" ]; then ulimit -S -f "$n"; [ "$(ulimit -S -f)" = "$n" ] || ulimit -S -f "$was"; fi
} 2>/dev/null
read -r stat </proc/$$/stat
born() { born=${20}; }
born ${stat##*) }
mv "$q" "pid.$$.$born"
exec "$@"'
# Its shell gets its program on descriptor 3 (through sudo, which closes that, ahead of stdin) and becomes it.
FROM3='program=$(cat <&3); exec 3<&-; eval "$program"'
FROM0='program=$(dd bs=1 count="$1" 2>/dev/null); [ "$2" = stdin ] || exec </dev/null; eval "$program"'

begin() {
  me=$(id -un)
  name=$user
  [ "$user" != - ] || name=$me
  via=
  if [ "$name" != "$me" ]; then
    uid=$(id -u "$name") && gid=$(id -g "$name") || {
      echo "slipway: there is no user $name" >>err
      rc=126
      return
    }
    home=$(getent passwd "$name" | cut -d: -f6)
    [ -n "$home" ] || home=$(sed -n "s/^$name:[^:]*:[^:]*:[^:]*:[^:]*:\([^:]*\):.*/\1/p" /etc/passwd)
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    if [ "$(id -u)" = 0 ] && setpriv --reuid="$uid" --regid="$gid" --init-groups true; then
      via=setpriv
    else
      via=sudo
    fi
  fi
  streams
  set -- env -i "SLIPWAY_TASK=$ID" "HOME=${home:-/}" "USER=$name" "LOGNAME=$name" SHELL=/bin/sh "PATH=$PATH"
  for mark in $(marks); do eval "set -- \"\$@\" \"$mark=\$$mark\""; done
  set -- "$@" sh -c
  case $via in
    setpriv) set -- setpriv --reuid="$uid" --regid="$gid" --init-groups "$@" ;;
    sudo) set -- sudo -n -u "$name" -- "$@" ;;
  esac
  process $$ && mark $$ "$STIME"
  set -- setsid sh -c "$FIRST" sh "$N" "q.$$" "$@"
  if [ "$limit" -gt 0 ]; then
    sh "$SELF" keep "$ID" "$limit" "$grace" &
    keeper=$!
  fi
  # Not with `&`, see launch.
  if [ "$via" = sudo ]; then
    { printf '%s' "$program" && cat "$stdin"; } | "$@" "$FROM0" sh ${#program} "$stdin" >>"$so" 2>>"$se"
  else
    printf '%s' "$program" | "$@" "$FROM3" 3<&0 <"$stdin" >>"$so" 2>>"$se"
  fi
  rc=$?
  drain
}

# The command writes to FIFOs, from which its output is appended to the spool: who opens /dev/stderr anew must neither
# truncate the spool nor write over it. Where the disk has no room for a FIFO, it writes to the spool itself.
streams() {
  so=out se=err oc='' ec=''
  mkfifo "o.$$" "e.$$" 2>/dev/null || {
    rm -f "o.$$" "e.$$"
    return
  }
  # Another user's command opens them through /proc only: the folder lets nobody else in.
  [ -z "$via" ] || chmod 622 "o.$$" "e.$$"
  so=o.$$ se=e.$$
  keeping out "u.$$" <"$so" &
  oc=$!
  keeping err "v.$$" <"$se" &
  ec=$!
}
# What the disk has no room for is counted, as far as it can be, and not kept: the command goes on, and the result says so.
keeping() { # out|err MARK
  cat >>"$1" || {
    mv "$2" "full.$1.0"
    mv "full.$1.0" "full.$1.$(wc -c)"
  }
}
# All that the command wrote is in the spool before its end is recorded. A child that it left may hold its streams for ever:
# what that one writes is kept, and not waited for.
drain() {
  [ -n "$oc" ] || return
  trap 'late=1' USR1
  late=
  { sleep 0.5 2>/dev/null || sleep 1; kill -USR1 $$; } &
  timer=$!
  for reader in "$oc" "$ec"; do
    while [ -z "$late" ] && process "$reader" && [ "$STATE" != Z ]; do wait "$reader"; done
  done
  kill "$timer"
  rm -f "o.$$" "e.$$"
}
