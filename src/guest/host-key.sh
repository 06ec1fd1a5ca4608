# Sent on stdin to `sh`, as root: gives sshd a host key that is made here, so that nobody else has ever had its private half.
# NONCE, VERB, OLD and NEW are set in front of this (OLD and NEW: the base64 word of a public key). `main` stands behind it,
# so that nothing is done by half of this. Answers are a line "RS NONCE WORDS".
#
#   make    makes the next key beside the one that is served, once          made PUBLIC | kept WHY
#   switch  puts it in that one's place and has sshd read it                switched | kept WHY | failed WHY
#
# Any number of calls do the same. Sessions live on: only the process that takes connections reads its files again.
set -u
umask 077
LC_ALL=C
export LC_ALL
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
reply() {
  printf '\036%s %s\n' "$NONCE" "$*"
  exit 0
}
# The private half says which key a file holds: sshd goes by it, too.
public_of() { # FILE
  set -- $(ssh-keygen -y -P '' -f "$1" </dev/null 2>/dev/null)
  PUBLIC=${2:-}
}
# The sshd that this session came by: the nearest processes of that name above us, the topmost of which takes connections.
find_sshd() {
  sshd='' pid=$$
  while [ "$pid" -gt 0 ]; do
    name='' parent=0
    while read -r label value rest; do
      case $label in
        Name:) name=$value ;;
        PPid:) parent=$value && break ;;
      esac
    done 2>/dev/null <"/proc/$pid/status"
    case $name in
      sshd | sshd-*) sshd=$pid ;;
      *) [ -z "$sshd" ] || break ;;
    esac
    pid=$parent
  done
  [ -n "$sshd" ] || reply kept 'its SSH server is not the sshd of OpenSSH'
  line=$(tr '\0' ' ' <"/proc/$sshd/cmdline")
  listener=$sshd program=$(readlink "/proc/$sshd/exe")
  case $line in
    'sshd: '*'[listener]'*) ;;
    # One for each connection: each reads its files anew.
    'sshd: '*) listener='' ;;
  esac
  [ -n "$listener" ] && [ -x "$program" ] || program=$(command -v sshd)
  config=/etc/ssh/sshd_config
  set -f
  set -- $line
  set +f
  while [ $# -gt 0 ]; do
    case $1 in
      -f) config=${2:-} ;;
      -f?*) config=${1#-f} ;;
    esac
    shift
  done
  next=${config%/*}/ssh_host_ed25519_key.next
}
# The file of the key that is served, or that was switched to before: by what it holds.
find_file() {
  named='s/^[[:space:]]*[Hh][Oo][Ss][Tt][Kk][Ee][Yy][[:space:]=][[:space:]=]*"\{0,1\}\([^"]*\)"\{0,1\}[[:space:]]*$/\1/p'
  for file in $(sed -n "$named" "$config" "${config%/*}"/sshd_config.d/*.conf 2>/dev/null) /etc/ssh/ssh_host_ed25519_key; do
    [ -s "$file" ] || continue
    public_of "$file"
    [ "$PUBLIC" = "$OLD" ] && return
    [ -n "$NEW" ] && [ "$PUBLIC" = "$NEW" ] && return
  done
  reply kept 'no file of its sshd_config holds the key that it serves'
}
# cloud-init writes the key that it was given over whatever is there, once for each instance: not after us.
await_cloud_init() {
  n=0
  while [ -e /run/cloud-init/enabled ] && [ ! -e /run/cloud-init/result.json ] &&
    [ ! -e /var/lib/cloud/instance/sem/config_ssh ] && [ $n -lt 600 ]; do
    n=$((n + 1))
    sleep 1
  done
  # The mark is there before the key is.
  [ $n = 0 ] || sleep 1
}
make() {
  await_cloud_init
  find_file
  [ -s "$next" ] || {
    rm -f "$next.$$" "$next.$$.pub"
    said=$(ssh-keygen -q -t ed25519 -N '' -C '' -f "$next.$$" </dev/null 2>&1) || reply kept "it cannot make a key: $said"
    # Whoever was first has made it.
    ln "$next.$$" "$next" 2>/dev/null
    rm -f "$next.$$" "$next.$$.pub"
  }
  public_of "$next"
  [ -n "$PUBLIC" ] || reply kept "the key that it has made cannot be read: $next"
  reply made "$PUBLIC"
}
switch() {
  find_file
  [ "$PUBLIC" = "$NEW" ] || {
    public_of "$next"
    [ "$PUBLIC" = "$NEW" ] || reply failed "the key that it has made is gone: $next"
    # An sshd that cannot read its configuration would end as it reads it again.
    said=$("$program" -t -f "$config" 2>&1) || reply kept "its sshd_config has mistakes: $said"
    cat "$next" >"$file.$$" && mv -f "$file.$$" "$file" || reply failed "cannot write to $file"
    printf 'ssh-ed25519 %s\n' "$NEW" >"$file.pub.$$" && chmod 644 "$file.pub.$$" && mv -f "$file.pub.$$" "$file.pub"
  }
  rm -f "$next"
  [ -z "$listener" ] || kill -HUP "$listener" || reply failed "cannot tell sshd (process $listener) to read its keys again"
  # Switched off in the next moment it must not come back with the old one, or with none: not every file system is journaled.
  sync
  reply switched
}
main() {
  command -v ssh-keygen >/dev/null || reply kept 'it has no ssh-keygen'
  find_sshd
  "$VERB"
}
