# Installs one file on the guest, so that the target is the old file or the new one, never half of it. POSIX sh.
#
#   sh BASE/bin/THIS VERB [words]      stdin: a nonce line, then one line each: path, part name, owner, group, mode,
#                                      parents (0 or 1), tree (0 or 1: the data is a tar archive), then data; the answer is a line "RS NONCE ok|failed CODE words"
#
# The part file lies beside the target: a rename must not cross file systems.
umask 077
BLOCK=65536

# Permanent or not is judged by the caller from this word.
because() { # TEXT OF A TOOL
  case $1 in
    *'No space left'* | *'uota exceeded'*) rm -f "$part"; failed full "$1" ;;
    *'Read-only'*) failed readonly "$1" ;;
    *'ermission denied'* | *'not permitted'*) failed denied "$1" ;;
    *'File name too long'*) failed name "$1" ;;
    *) failed other "$1" ;;
  esac
}
head_lines() {
  IFS= read -r NONCE && IFS= read -r path && IFS= read -r name && IFS= read -r owner && IFS= read -r group &&
    IFS= read -r mode && IFS= read -r parents && IFS= read -r tree || exit 64
  case $path in '~/'*) path=${HOME:-}/${path#??} ;; esac
}
place() {
  folder=${path%/*}
  folder=${folder:-/}
  part=${folder%/}/$name
}
# Rights are borrowed only where the login user has none: to write here, or to give the file away.
as_needed() {
  [ "$(id -u)" != 0 ] || return
  need=0
  at=$folder
  while [ ! -e "$at" ] && [ "$at" != / ]; do
    at=${at%/*}
    at=${at:-/}
  done
  [ -w "$at" ] && [ -x "$at" ] || need=1
  [ -z "$owner" ] || [ "$owner" = "$(id -un)" ] || [ "$owner" = "$(id -u)" ] || need=1
  case " $(id -Gn) $(id -G) " in *" ${group:-$(id -g)} "*) ;; *) need=1 ;; esac
  [ ! -k "$folder" ] || [ ! -e "$path" ] || [ -O "$path" ] || need=1
  [ $need = 1 ] || return
  sudo -n true 2>/dev/null || failed rights "$(id -un) may not write to $folder, and has no sudo without a password"
  exec sudo -n sh "$SELF" given "$NONCE" "$path" "$name" "$owner" "$group" "$mode" "$parents" "$tree" "$VERB" "$@"
}
check_place() {
  if [ ! -d "$folder" ]; then
    [ "$parents" = 1 ] || failed nofolder "there is no folder $folder"
    said=$(umask 022 && mkdir -p "$folder" 2>&1) || because "$said"
  fi
  if [ $tree = 1 ]; then
    [ ! -e "$path" ] || [ -d "$path" ] || failed notfolder "it is no folder"
  elif [ -d "$path" ] && [ ! -L "$path" ]; then
    failed isfolder "it is a folder"
  fi
}
size() {
  N=0
  [ ! -e "$part" ] || {
    set -- $(ls -ln "$part")
    N=$5
  }
}
# By place, not by appending: what a broken connection left still writing puts the same bytes where they belong.
take_in() { # BLOCKS that are here: stdin comes after them, in place of all that lay there
  said=$(dd of="$part" bs=$BLOCK seek="$1" 2>&1) || because "${said%%
*}"
}
finish() { # BYTES SHA256
  size
  [ "$N" = "$1" ] || failed size "$N of $1 bytes arrived"
  sum=$({ sha256sum "$part" || shasum -a 256 "$part" || openssl dgst -sha256 -r "$part"; } 2>/dev/null)
  sum=${sum%% *}
  sum=${sum#\\} # coreutils marks a name that it had to quote
  [ -n "$sum" ] || failed other 'no sha256sum, shasum or openssl here'
  [ "$sum" = "$2" ] || {
    rm -f "$part"
    failed sum "$sum"
  }
  if [ $tree = 1 ]; then
    unpack
    reply "ok $N $sum $path"
    return
  fi
  # chown takes setuid away, so chmod comes after it.
  if [ -n "$owner$group" ]; then said=$(chown "$owner${group:+:$group}" "$part" 2>&1) || give_up owner "$said"; fi
  said=$(chmod "$mode" "$part" 2>&1) || give_up other "$said"
  sync "$part" 2>/dev/null || sync
  if [ -d "$path" ]; then # a link to a folder: replaced itself, never filled
    said=$(mv -fT "$part" "$path" 2>&1) || said=$(rm -f "$path" && mv -f "$part" "$path" 2>&1) || because "$said"
  else
    said=$(mv -f "$part" "$path" 2>&1) || because "$said"
  fi
  sync "$folder" 2>/dev/null || true
  reply "ok $N $sum $path"
}
# Unpacked beside its place: a folder that is not there yet comes whole or not at all; one that is gets what is new.
unpack() {
  stage=${part%.part}.tree
  rm -rf "$stage"
  said=$(mkdir "$stage" 2>&1 && tar -xpof "$part" -C "$stage" 2>&1) || spoil archive "$said"
  if [ -n "$owner$group" ]; then said=$(chown -hR "$owner${group:+:$group}" "$stage" 2>&1) || spoil owner "$said"; fi
  if [ -d "$path" ]; then
    said=$(cp -a "$stage/." "$path/" 2>&1) || spoil other "$said"
    rm -rf "$stage"
  else
    said=$(mv "$stage" "$path" 2>&1) || spoil other "$said"
  fi
  rm -f "$part"
  sync "$folder" 2>/dev/null || sync
}
spoil() { # CODE TEXT
  rm -rf "$stage"
  case $2 in *'No space left'* | *'uota exceeded'*) give_up full "$2" ;; *) give_up "$@" ;; esac
}
give_up() { # CODE TEXT
  rm -f "$part"
  failed "$@"
}

offset() { # how much of it is here, in whole blocks
  check_place
  said=$({ true >>"$part"; } 2>&1) || because "$said"
  size
  reply "ok $((N - N % BLOCK))"
}
append() { # OFFSET, as the verb offset said it
  size
  [ "$1" != 0 ] || rm -f "$part"
  [ "$1" -le "$N" ] || failed size "$N bytes are here, not $1"
  take_in $(($1 / BLOCK))
  size
  reply "ok $N"
}
put() { # BYTES SHA256: a small file in one go
  check_place
  rm -f "$part"
  take_in 0
  finish "$@"
}
drop() {
  rm -f "$part"
  reply ok
}

# Each key once, into the login user's authorized_keys: one append, so that two at the same time lose nothing.
authorize() { # keys on stdin
  IFS= read -r NONCE || exit 64
  folder=${HOME:?}/.ssh
  part=$folder/none
  keys=$folder/authorized_keys
  said=$(mkdir -p "$folder" 2>&1 && { true >>"$keys"; } 2>&1) || because "$said"
  lock
  new=
  while IFS= read -r key; do
    blob=${key#* }
    grep -qF -- "${blob%% *}" "$keys" || new="$new$key
"
  done
  if [ -n "$new" ]; then
    [ ! -s "$keys" ] || [ -z "$(tail -c 1 "$keys")" ] || new="
$new"
    said=$({ printf '%s' "$new" >>"$keys"; } 2>&1) || because "$said"
    ! command -v restorecon >/dev/null || restorecon -R "$folder"
  fi
  unlock
  reply ok
}
withdraw() { # keys on stdin
  IFS= read -r NONCE || exit 64
  folder=${HOME:?}/.ssh
  part=$folder/none
  keys=$folder/authorized_keys
  lock
  while IFS= read -r key && [ -f "$keys" ]; do
    blob=${key#* }
    grep -vF -- "${blob%% *}" "$keys" >"$keys.slipway"
    # Into the file itself: its owner, mode and label stay.
    said=$({ cat "$keys.slipway" >"$keys"; } 2>&1) || because "$said"
  done
  rm -f "$keys.slipway"
  unlock
  reply ok
}
# Two at the same time must lose nothing; what a dead one left is broken after 5 s.
lock() {
  i=0
  until mkdir "$folder/.slipway-lock" 2>/dev/null || [ $i -ge 50 ] || [ ! -d "$folder" ]; do
    i=$((i + 1))
    sleep 0.1 2>/dev/null || sleep 1
  done
}
unlock() { rmdir "$folder/.slipway-lock" 2>/dev/null || true; }

VERB=$1
shift
case $VERB in
  authorize | withdraw) "$VERB" ;;
  given)
    NONCE=$1 path=$2 name=$3 owner=$4 group=$5 mode=$6 parents=$7 tree=$8 VERB=$9
    shift 9
    place
    "$VERB" "$@"
    ;;
  offset | append | finish | put | drop)
    head_lines
    place
    as_needed "$@"
    "$VERB" "$@"
    ;;
  *) exit 64 ;;
esac
