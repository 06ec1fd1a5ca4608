# The first part of the scripts that move files, file-protocol.sh and fetch-protocol.sh. POSIX sh.
set -u
LC_ALL=C
export LC_ALL
PATH=${PATH:-/usr/bin:/bin}
case :$PATH: in *:/sbin:*) ;; *) PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin ;; esac
case $0 in /*) SELF=$0 ;; *) SELF=$PWD/$0 ;; esac

reply() { printf '\036%s %s\n' "$NONCE" "$*"; }
failed() { # CODE TEXT
  reply "failed $*"
  exit 0
}
