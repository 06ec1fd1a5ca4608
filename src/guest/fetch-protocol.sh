# Reads a file or a folder of the guest, from any offset. POSIX sh.
#
#   sh BASE/bin/THIS read OFFSET STAMP     stdin: a nonce line, then the path
#
# The answer on stdout: a line "RS NONCE file BYTES STAMP MODE FROM" and the bytes FROM..BYTES, or "RS NONCE tree MODE" and a
# tar archive of the folder; then "RS NONCE end" with the sha256 of the file's first BYTES, or with tar's exit code.
# Or one line "RS NONCE failed CODE words". STAMP tells one file from another that came into its place: what an earlier read
# has is gone on with only when it is still the same.
aim() { # the folder in which the file would be, through a link
  at=$path
  [ ! -L "$at" ] || at=$(readlink "$at")
  case $at in /*) ;; *) at=${path%/*}/$at ;; esac
  printf '%s\n' "${at%/*}"
}
# Rights are borrowed only where the login user has none.
as_needed() {
  [ "$(id -u)" != 0 ] || return
  if [ -d "$path" ]; then
    [ ! -r "$path" ] || [ ! -x "$path" ] || return
  else
    [ ! -r "$path" ] || return
  fi
  sudo -n true 2>/dev/null || {
    [ -e "$path" ] || [ ! -x "$(aim)/" ] || return # it is not there: no right would show it
    failed denied "$(id -un) may not read it, and has no sudo without a password"
  }
  exec sudo -n sh "$SELF" given "$NONCE" "$path" "$@"
}
fetch() { # OFFSET STAMP
  if [ -d "$path" ]; then
    said=$(stat -L -c %a "$path" 2>/dev/null || stat -L -f %Lp "$path")
    reply "tree $said"
    tar -cf - -C "$path" . 2>/dev/null
    reply "end $?"
    return
  fi
  [ -e "$path" ] || failed nofile "there is no such file or folder"
  [ -f "$path" ] || failed kind "it is neither a file nor a folder"
  set -- "$1" "$2" $(stat -L -c '%s %Y.%i %a' "$path" 2>/dev/null || stat -L -f '%z %m.%i %Lp' "$path")
  [ $# = 5 ] || failed other "it cannot be looked at"
  from=$1
  [ "$2" = "$4" ] && [ "$from" -le "$3" ] || from=0
  reply "file $3 $4 $5 $from"
  tail -c "+$((from + 1))" "$path" | head -c "$(($3 - from))"
  sum=$(head -c "$3" "$path" | { sha256sum || shasum -a 256 || openssl dgst -sha256 -r; } 2>/dev/null)
  reply "end ${sum%% *}"
}

VERB=$1
shift
case $VERB in
  given)
    NONCE=$1 path=$2
    shift 2
    fetch "$@"
    ;;
  read)
    IFS= read -r NONCE && IFS= read -r path || exit 64
    case $path in '~') path=${HOME:-} ;; '~/'*) path=${HOME:-}/${path#??} ;; esac
    as_needed "$@"
    fetch "$@"
    ;;
  *) exit 64 ;;
esac
