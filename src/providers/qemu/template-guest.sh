#!/bin/sh
# template-guest.sh USER PREPARE: in the guest of a template, when it has booted: makes itself ready to be cloned, says so, and then waits (in the template and,
# after that, in every clone) until it is told who it is. What it is told is a script.
told=/sys/firmware/qemu_fw_cfg/by_name/opt/slipway
port=/dev/virtio-ports/slipway.answer
until [ -e /var/lib/cloud/instance/boot-finished ]; do sleep 0.2; done
modprobe -q qemu_fw_cfg
modprobe -q virtio_console
tries=0
until [ -e $told/told/raw ] && [ -e $port ]; do
  tries=$((tries + 1))
  [ $tries -lt 100 ] || exit 1
  sleep 0.1
done
# What every guest is asked to keep by its first login, which waits for it.
su -s /bin/sh "$1" -c sh <"$2" >/dev/null
home=$(getent passwd "$1" | cut -d: -f6)
mkdir -p -m 700 "$home/.ssh"
chown "$1:" "$home/.ssh"
# A clone answers by SSH when it has a key of its own, not before.
if ! systemctl --quiet is-active ssh.socket && [ -s /run/sshd.pid ]; then
  # Up to OpenSSH 9.7 each connection reads the key, so that an sshd with a new one need not start anew: tried, not looked up.
  rm -f /etc/ssh/ssh_host_*
  ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
  read -r type key rest </etc/ssh/ssh_host_ed25519_key.pub
  ssh-keyscan -t ed25519 127.0.0.1 2>/dev/null | grep -qF "$key" && : >/run/slipway-sshd-reads-keys
  mv /run/sshd.pid /run/slipway-sshd
  read -r pid </run/slipway-sshd && kill -STOP "$pid"
else
  systemctl list-units --plain --no-legend --state=active ssh.socket ssh.service sshd.service |
    while read -r unit rest; do echo "$unit"; done >/run/slipway-ssh-units
  xargs -r systemctl stop </run/slipway-ssh-units
fi
rm -f /etc/ssh/ssh_host_*
sync
echo waiting >$port
while read -r now <$told/told/raw && [ "$now" = 0 ]; do sleep 0.02; done
sh $told/identity/raw >/run/slipway-clone.log 2>&1
