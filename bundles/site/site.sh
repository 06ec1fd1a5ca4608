#!/bin/sh
# The service of this bundle. A machine of this computer has an address of its own, in SLIPWAY_ADDRESS: what listens there
# meets no other machine and nothing of the host.
#   site serve    serves /srv/site
#   site check    exits 0 when it does
. /etc/site.conf
address=${SLIPWAY_ADDRESS:-0.0.0.0}
url=http://${SLIPWAY_ADDRESS:-127.0.0.1}:$port/

case ${1-} in
  serve)
    if busybox --list 2>/dev/null | grep -qx httpd; then
      exec busybox httpd -f -p "$address:$port" -h /srv/site
    elif command -v python3 >/dev/null; then
      exec python3 -m http.server --bind "$address" --directory /srv/site "$port"
    fi
    echo 'site: there is no web server here; this wants busybox or python3' >&2
    exit 69
    ;;
  check)
    for get in 'curl -fsS -o /dev/null' 'wget -q -O /dev/null' 'busybox wget -q -O /dev/null'; do
      command -v "${get%% *}" >/dev/null && exec $get "$url"
    done
    exec python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1])' "$url"
    ;;
  *)
    echo 'usage: site serve|check' >&2
    exit 64
    ;;
esac
