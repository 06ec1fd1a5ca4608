# pid 1 of a machine. The kernel reaps what is left to a process that ignores SIGCHLD; it ends by a word on /run/initctl,
# and the kernel ends all others with it. To the keeper outside, 64 says reboot and 65 power off.
exec 0<>/run/initctl 1>/dev/null 2>/dev/null
echo "$1" >&3
exec 3>&-
rmdir /run/old
trap '' CHLD
while :; do
  # The end of a child that was left to us may interrupt it.
  read -r word || continue
  case $word in
    reboot) exit 64 ;;
    poweroff) exit 65 ;;
  esac
done
