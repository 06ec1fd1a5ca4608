# Whose a standing machine is, on the machine itself: POSIX sh, Linux. It keeps out a second installation that has the same
# machine in its inventory, and whoever comes too late.
#
#   sh BASE/bin/THIS hold|leave|free|clear|new KEY   stdin: a nonce line, a line of words for people that ends with the name of the
#                                                installation; answers are "RS NONCE words"
#
# BASE.holder/  holder     the KEY that has it, and the words
#               over/KEY   has been given back or is about to be: a late `hold` of it is refused
set -u
umask 077
LC_ALL=C
export LC_ALL
PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin
export PATH
case $0 in /*) SELF=$0 ;; *) SELF=$PWD/$0 ;; esac
BASE=${SELF%/bin/*}
H=$BASE.holder
# Where the guest's own tasks live: there before the baseline, so that the folder above it stays as it was.
CORE=${BASE%-static}
VERB=$1 KEY=$2
IFS= read -r NONCE && IFS= read -r WORDS || exit 64

reply() { printf '\036%s %s\n' "$NONCE" "$*"; }
refuse() { # CODE TEXT
  reply "refused $*"
  exit 0
}
holder() {
  now='' words=''
  [ ! -e "$H/holder" ] || { read -r now && read -r words; } <"$H/holder" 2>/dev/null
}
is_ours() { [ "${words##* }" = "${WORDS##* }" ]; }
hold() {
  mkdir -p "$H/over" "$CORE" 2>/dev/null || refuse disk "cannot write to ${H%/*}"
  [ ! -e "$H/over/$KEY" ] || refuse over 'it was given back meanwhile'
  part=$H/.$KEY.$$
  printf '%s\n%s\n' "$KEY" "$WORDS" >"$part" || refuse disk "cannot write to $H"
  ln "$part" "$H/holder" 2>/dev/null
  rm -f "$part"
  holder
  [ "$now" = "$KEY" ] || is_ours || refuse taken "$words"
  [ "$now" = "$KEY" ] || refuse stale "$words"
  # Given back between the two looks: nobody else takes the name away.
  [ ! -e "$H/over/$KEY" ] || {
    rm -f "$H/holder"
    refuse over 'it was given back meanwhile'
  }
  reply "ok $H $CORE"
}
# From now on no late `hold` of it counts.
leave() {
  mkdir -p "$H/over" "$CORE" && true >"$H/over/$KEY" || refuse disk "cannot write to $H"
  holder
  [ -z "$now" ] || [ "$now" = "$KEY" ] || refuse taken "$words"
  reply "ok $H $CORE"
} 2>/dev/null
# Clean: the next may come. What was remembered goes first, so that no late reset finds what it would go by.
free() {
  holder
  [ -z "$now" ] || [ "$now" = "$KEY" ] || refuse taken "$words"
  # A reset by sudo leaves files of root.
  for at in "$BASE/baseline" "$CORE"/* "$CORE"/.[!.]*; do
    rm -rf "$at" 2>/dev/null || sudo -n rm -rf "$at" 2>/dev/null
  done
  left=$(find "$CORE" "$BASE/baseline" -mindepth 1 2>/dev/null | head -n 1)
  [ -z "$left" ] || refuse left "$left"
  find "$H/over" -type f -mtime +7 -exec rm -f {} + 2>/dev/null
  rm -f "$H/holder"
  [ ! -e "$H/holder" ] || refuse left "$H/holder"
  reply "ok $H $CORE"
}
# Whether this is another system than the one that the claim was on.
new() {
  [ ! -e "$H/holder" ] && [ ! -e "$H/over/$KEY" ] || refuse old 'it is the same system still'
  reply "ok $H $CORE"
}
# A person answers for what it is like; another installation's it stays.
clear() {
  holder
  [ -z "$now" ] || is_ours || refuse taken "$words"
  KEY=$now
  free
}
case $VERB in hold | leave | free | clear | new) "$VERB" ;; *) exit 64 ;; esac
