#!/bin/sh
# How this machine calls home. Beside it lies boot-string, `id:address[,address...];pin:secret`: who it is, where its
# orchestrator answers and by which key, and what proves that it is itself. Nothing secret is ever an argument.
#   check-in facts               posts the lines NAME=VALUE on stdin, and its SSH host keys
#   check-in result CODE         posts how its configuration ended: 0 is ready; on stdin, why
#   check-in last-stage          fetches the rest of its configuration, and runs it
#   check-in boot                what cloud-init starts in the background: facts early, the result when all is done
set -u
umask 077
LC_ALL=C PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
at=$(cd "$(dirname "$0")" && pwd) || exit 1
IFS= read -r boot <"$at/boot-string" || exit 1
id=${boot%%:*} secret=${boot##*:} address=${boot#*:}
address=${address%:*}
pin=${address##*;} places=${address%;*}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 143' TERM INT HUP
say() { echo "check-in: $*" >&2; }

# URL METHOD BODY-FILE OUT-FILE: prints the HTTP status; fails when nobody with the pinned key has answered
by_curl() {
  printf 'header = "authorization: Bearer %s"\n' "$secret" |
    curl -q --config - --silent --insecure --pinnedpubkey "$pin" --noproxy '*' --connect-timeout 10 --max-time 120 \
      --request "$2" ${3:+--data-binary "@$3"} --header 'content-type: text/plain' --output "$4" \
      --write-out '%{http_code}' "$1"
}

by_python() {
  python3 - "$1" "$2" "$3" "$4" "$at/boot-string" "$pin" <<'PYTHON'
import base64, hashlib, http.client, ssl, sys
from urllib.parse import urlsplit

url, method, body, out, boot, pin = sys.argv[1:]
with open(boot) as file:
    secret = file.readline().strip().rsplit(":", 1)[1]


def item(der, at):
    length, start = der[at + 1], at + 2
    if length & 128:
        size = length & 127
        length, start = int.from_bytes(der[start : start + size], "big"), start + size
    return start, start + length


def public_key(der):
    at = item(der, item(der, 0)[0])[0]
    if der[at] == 0xA0:
        at = item(der, at)[1]
    for _ in range(5):
        at = item(der, at)[1]
    return der[at : item(der, at)[1]]


context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
to = urlsplit(url)
try:
    connection = http.client.HTTPSConnection(to.hostname, to.port, timeout=60, context=context)
    connection.connect()
    seen = hashlib.sha256(public_key(connection.sock.getpeercert(True))).digest()
    if "sha256//" + base64.b64encode(seen).decode() != pin:
        sys.exit(90)
    headers = {"authorization": "Bearer " + secret, "content-type": "text/plain"}
    data = None
    if body:
        with open(body, "rb") as file:
            data = file.read()
    connection.request(method, to.path + ("?" + to.query if to.query else ""), data, headers)
    answer = connection.getresponse()
    with open(out, "wb") as file:
        file.write(answer.read())
    print(answer.status)
except (OSError, http.client.HTTPException) as error:
    print(error, file=sys.stderr)
    sys.exit(7)
PYTHON
}

once() {
  if command -v curl >/dev/null; then
    status=$(by_curl "$@")
    code=$?
    # Built without what the pin needs: the other one, then.
    [ "$code" -eq 2 ] || [ "$code" -eq 4 ] || return "$code"
  fi
  command -v python3 >/dev/null || {
    say 'needs curl (with --pinnedpubkey) or python3'
    exit 69
  }
  status=$(by_python "$@")
}

# METHOD PATH BODY-FILE: the answer lies in $work/answer. Tries each address in turn, and again while nobody can say.
ask() {
  pause=1 left=${CHECK_IN_TRIES:-200}
  while :; do
    rest=$places,
    while [ -n "$rest" ]; do
      place=${rest%%,*} rest=${rest#*,} status=000
      : >"$work/answer"
      once "https://$place/rendezvous/v1/machines/$id/$2" "$1" "$3" "$work/answer"
      code=$?
      if [ "$code" -eq 90 ]; then
        say "$place answers with another key than the pinned one: it was told nothing"
      elif [ "$code" -eq 0 ]; then
        case $status in
          2??) return 0 ;;
          429 | 5??) ;;
          *)
            say "$place refuses ($status): $(head -c 300 "$work/answer")"
            return 1
            ;;
        esac
      fi
    done
    left=$((left - 1))
    [ "$left" -gt 0 ] || {
      say "nobody has answered at $places"
      return 1
    }
    sleep "$pause"
    pause=$((pause < 15 ? pause * 2 : 20))
  done
}

facts() {
  cat >"$work/facts"
  for file in /etc/ssh/ssh_host_*_key.pub; do
    [ ! -r "$file" ] || sed 's/^/hostKey=/' "$file" >>"$work/facts"
  done
  size=$(wc -c <"$work/facts")
  [ "$size" -le 65536 ] || {
    say "facts of $((size)) bytes are too long: 65536 is the most"
    return 1
  }
  ask POST facts "$work/facts"
}

known_facts() {
  echo "hostname=$(uname -n)"
  echo "kernel=$(uname -r)"
  [ ! -r /etc/os-release ] || sed -n 's/^PRETTY_NAME="\{0,1\}\([^"]*\)"\{0,1\}$/os=\1/p' /etc/os-release
  ! command -v cloud-init >/dev/null || echo "cloudInit=$(cloud-init --version 2>&1 | sed 's/.* //')"
  [ ! -r "$at/facts" ] || cat "$at/facts"
}

result() {
  head -c 4000 >"$work/words"
  ask POST "ready?result=$1" "$work/words"
}

boot() {
  [ ! -e "$at/posted" ] || return 0
  # Keys of the image's own are there until cloud-init has dealt with them, after it has installed this script.
  waited=0
  until [ /etc/ssh/ssh_host_ed25519_key.pub -nt "$at/check-in" ] || [ "$waited" -ge 300 ]; do
    waited=$((waited + 1))
    sleep 1
  done
  known_facts | facts
  # Nothing tells the stage of a script from here but cloud-init itself; it says so only when everything has ended.
  cloud-init status --wait >/dev/null 2>&1
  ended=$?
  code=0
  : >"$work/why"
  if [ -s "$at/result" ]; then
    read -r code <"$at/result"
    cat "$at/words" >"$work/why"
  elif [ -e "$at/last-stage" ]; then
    code=1
    echo 'the last stage did not come to its end' >"$work/why"
  fi
  if [ "$code" -eq 0 ] && [ "$ended" -eq 1 ]; then
    code=1
    cloud-init status --long 2>&1 | tail -c 900 >"$work/why"
  fi
  [ ! -r "$at/facts" ] || known_facts | facts
  result "$code" <"$work/why" && : >"$at/posted"
}

case ${1:-} in
  facts) facts ;;
  result) result "${2:?the exit code}" ;;
  boot) boot ;;
  last-stage)
    ask GET last-stage '' && cp "$work/answer" "$at/fetched-stage" || {
      echo 'the rest of the configuration could not be fetched' >"$at/words"
      echo 1 >"$at/result"
      exit 1
    }
    rm -rf "$work"
    exec sh "$at/fetched-stage"
    ;;
  *)
    sed -n 's/^#   //p' "$0" >&2
    exit 64
    ;;
esac
