# The task protocol: runs a task detached from the connection that launched it, at most once per id, and keeps what it
# wrote and how it ended until that is stored elsewhere. POSIX sh (dash, bash, busybox ash), Linux. Sent to the guest as
# one script: this part (who is alive, how a task stands), then task-run.sh, task-stop.sh, task-follow.sh, task-verbs.sh.
#
#   sh BASE/bin/THIS VERB ID [words]      first line of stdin: a nonce; every answer is a line "RS NONCE words"
#
# BASE/tasks/ID/  start     the claim: "pid starttime boot user" of the wrapper; it exists or not, never half
#                 pid.P.S   pid and start time of the command (in the name: a rename needs no disk space)
#                 out err   what the command wrote
#                 exit.RC.OUT.ERR.MS  the end: exit code, sizes, run time (in the name again)
#                 full.out.N full.err.N  the disk took no more of the stream; N bytes or more are lost
#                 cancelled timed-out term kill   marks: why and how it was stopped
# BASE/active/ID  while the task runs;  BASE/gone/ID  a tombstone against late launches
# `true >file` and not `: >file`: where a special builtin cannot redirect, the whole shell ends (POSIX).
set -u
umask 077
LC_ALL=C
export LC_ALL
PATH=${PATH:-/usr/bin:/bin}
case :$PATH: in *:/sbin:*) ;; *) PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin ;; esac

VERB=$1 ID=$2
shift 2
case $0 in /*) SELF=$0 ;; *) SELF=$PWD/$0 ;; esac
BASE=${SELF%/bin/*}
D=$BASE/tasks/$ID
NONCE=-

reply() { printf '\036%s %s\n' "$NONCE" "$*"; }
refuse() { # CODE TEXT
  reply "refused $*"
  exit 0
}
nap() { sleep "0.$1" 2>/dev/null || sleep 1; }

# What /proc says of a pid, without a fork; comm may hold ") " and spaces.
process() {
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  set -- ${stat##*) }
  STATE=$1 STIME=${20}
}
# A zombie is dead; another start time is another process that got the same pid; another boot is another world.
alive() { # PID STARTTIME BOOT
  [ "$3" = "$BOOT" ] && process "$1" && [ "$STIME" = "$2" ] && case $STATE in Z | X) false ;; esac
}
sizes() { # one fork, and no read of the files (busybox wc reads them); ls puts err first
  set -- $(ls -ln "$D/err" "$D/out" 2>/dev/null)
  E=${5:-0} O=${14:-0}
}
ended() { # sets END to "rc out err ms"; the exit record is read before any size, or the tail would be lost
  for END in "$D"/exit.*; do
    [ -e "$END" ] || return 1
    END=${END##*/exit.}
  done
}

# The mark of a task, for the wrapper with this pid and start time, in the blocks of 512 bytes of `ulimit -f`: more than any
# file has, and another for each. 16 digits, or the shell cannot count so far.
mark() { # PID STARTTIME; sets N, and MARK in bytes as /proc tells it
  N=$((2251799813685248 + $2 % 268435456 * 4194304 + $1))
  [ ${#N} = 16 ] && [ "${N#-}" = "$N" ] || N=unlimited
  MARK=$N
  [ "$N" = unlimited ] || MARK=$((N * 512))
}

# How the task stands: ANSWER is "state rc ms out err rebooted cancelled timedOut signal lostOut lostErr".
look() {
  ST=absent RC=- MS=- O=0 E=0 R=0 P='' S='' B='' AS=-
  BOOT=-
  { read -r BOOT </proc/sys/kernel/random/boot_id; } 2>/dev/null
  if [ -e "$BASE/gone/$ID" ]; then
    ST=gone
  elif [ -e "$D/start" ] && read -r P S B AS <"$D/start"; then
    [ "$B" = "$BOOT" ] || R=1
    if ended; then
      ST=exited
    elif alive "$P" "$S" "$B"; then
      ST=running
    elif ended; then # finished between the two looks
      ST=exited
    elif [ $R = 1 ]; then
      ST=rebooted
    elif command_pid && alive "$C" "$CS" "$B"; then
      ST=orphan
    else
      ST=lost
      # The wrapper may have died before it could write the command's pid down.
      command_pid || { strike 0 && [ -n "$LEFT" ] && ST=orphan; }
    fi
    if [ $ST = exited ]; then
      RC=${END%%.*} MS=${END##*.} END=${END#*.} END=${END%.*}
      [ $R = 0 ] || sizes
      # Power was cut before all that the command wrote had reached the disk: then the record is not to be trusted either.
      if [ $R = 1 ] && { [ "$O" -lt "${END%.*}" ] || [ "$E" -lt "${END#*.}" ]; }; then
        ST=rebooted RC=- MS=-
      else
        O=${END%.*} E=${END#*.}
      fi
    else
      sizes
    fi
    [ $ST = running ] || rm -f "$BASE/active/$ID"
  fi
  c=0 t=0 g=-
  [ -e "$D/cancelled" ] && c=1
  [ -e "$D/timed-out" ] && t=1
  [ -e "$D/term" ] && g=TERM
  [ -e "$D/kill" ] && g=KILL
  lost out
  l=$LOST
  lost err
  ANSWER="$ST $RC $MS $O $E $R $c $t $g $l $LOST"
}
lost() { # out|err; sets LOST
  for f in "$D/full.$1".*; do
    LOST=-
    [ ! -e "$f" ] || LOST=${f##*.}
  done
}
command_pid() {
  for f in "$D"/pid.*; do
    [ -e "$f" ] || return 1
    f=${f##*/pid.}
    C=${f%.*} CS=${f#*.}
  done
}
