# Sent on stdin to `sh` at the first use of a guest: says who answers, and makes sure that it can run tasks and has the
# protocol's scripts. BASE, NONCE, FRESH and NAMES are set in front of this; behind it stands one `script NAME <<END` for each,
# and `settle`. Nobody is ready before it has run: it starts as few programs as it can.
set -u
umask 077
LC_ALL=C
export LC_ALL
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
reply() { printf '\036%s %s\n' "$NONCE" "$*"; }
refuse() {
  reply "refused $*"
  exit 0
}
new=
trap '[ -z "$new" ] || rm -rf "$new"' EXIT
script() {
  [ -n "$FRESH" ] || [ ! -s "$BASE/bin/$1" ] || return 0
  if [ -z "$new" ]; then
    new=$BASE/bin/.new.$$
    mkdir "$new" 2>/dev/null || refuse disk "cannot write to $BASE"
  fi
  cat >"$new/$1" 2>/dev/null || refuse disk "cannot write to $BASE"
}
# Comes behind all scripts: a connection that drops ends a here-document early, and no shell minds.
settle() {
  [ -n "$new" ] || return 0
  [ -z "$FRESH" ] || { mv -f "$new"/* "$BASE/bin/" && return 0; } || refuse disk "cannot write to $BASE"
  # The claim of a task is a hard link, too. Another probe may have been first.
  ln "$new"/* "$BASE/bin/" 2>/dev/null || for path in "$new"/*; do
    [ -s "$BASE/bin/${path##*/}" ] || refuse links "$BASE has no hard links, or no space left"
  done
}

read -r boot </proc/sys/kernel/random/boot_id || boot=-
read -r kernel </proc/sys/kernel/osrelease || kernel=$(uname -r)
read -r name </proc/sys/kernel/hostname || name=$(uname -n)
reply "facts $boot $kernel $name"
for tool in setsid grep cut ls ln mv rm cat dd head tail wc sleep env id find sed; do
  command -v $tool >/dev/null || refuse tools "the guest has no $tool"
done
there() { # SCRIPTS: from an earlier use, which was refused nothing
  [ -z "$FRESH" ] && [ -d "$BASE/tasks" ] && [ -d "$BASE/active" ] && [ -d "$BASE/gone" ] || return
  for name; do [ -s "$BASE/bin/$name" ] || return; done
  reply prepared
  exit 0
}
there $NAMES
mkdir -p "$BASE/bin" "$BASE/tasks" "$BASE/active" "$BASE/gone" 2>/dev/null || refuse disk "cannot write to $BASE"
# A machine that is no more than processes (its provider marks it by this variable) never reboots.
[ -n "${SLIPWAY_ADDRESS:-}" ] || case $(stat -f -c %T "$BASE" 2>/dev/null) in
  tmpfs | ramfs) refuse volatile "$BASE lies in memory and would not survive a reboot" ;;
esac
