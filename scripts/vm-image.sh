#!/usr/bin/env bash
# vm-image.sh: builds the machine image of the tests (Debian 12, systemd, cloud-init, sshd) from Debian's packages, once, and
# prints its folder: disk.raw (ext4, no partitions), kernel, initrd (small: it loads virtio and mounts the disk, where
# Debian's own takes 10 s more without KVM). Needs root (owners of files), mmdebstrap, mke2fs and busybox.
# A change of this file is another image; one that nobody has asked for in a week is removed.
set -euo pipefail
umask 022
digest=$(sha256sum <"$0" | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/slipway-vm
out=$cache/debian-12-$digest
if [ -e "$out/disk.raw" ]; then
  touch "$out"
  echo "$out"
  exit
fi
mkdir -p "$cache"
work=$(mktemp -d "$cache/.build-XXXXXX")
trap 'rm -rf "$work"' EXIT
exec 3>&1 1>&2

root=$work/root
# Debian's own initrd is not used.
INITRD=No mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Languages "none"' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/lib/modules/*/kernel/sound/*' \
  --include=systemd-sysv,dbus,udev,kmod,iproute2,openssh-server,sudo,curl,ca-certificates,busybox-static,cloud-init,linux-image-cloud-amd64 \
  bookworm "$root"

install -d "$root/etc/systemd/network" "$root/etc/cloud/cloud.cfg.d"
cat >"$root/etc/systemd/network/80-all.network" <<'NETWORK'
[Match]
Name=e*
[Network]
DHCP=ipv4
LinkLocalAddressing=no
IPv6AcceptRA=no
NETWORK
cat >"$root/etc/cloud/cloud.cfg" <<'CLOUD'
# What a guest of slipway needs, so that a boot without KVM takes seconds less.
datasource_list: [NoCloud, None]
datasource: {NoCloud: {fs_label: cidata}}
network: {config: disabled}
disable_root: false
ssh_pwauth: false
users: [default]
system_info:
  distro: debian
  default_user: {name: debian, lock_passwd: true, shell: /bin/sh, sudo: ['ALL=(ALL) NOPASSWD:ALL']}
  paths: {cloud_dir: /var/lib/cloud, templates_dir: /etc/cloud/templates}
  ssh_svcname: ssh
cloud_init_modules: [bootcmd, write-files, resizefs, set_hostname, update_hostname, users-groups, ssh]
cloud_config_modules: [set-passwords, runcmd]
cloud_final_modules: [package-update-upgrade-install, keys-to-console, scripts-per-boot, scripts-per-instance, scripts-user, phone-home, final-message, power-state-change]
CLOUD
rm -f "$root/etc/resolv.conf" && echo 'nameserver 10.0.2.3' >"$root/etc/resolv.conf"
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/machine-id" "$root/etc/hostname" "$root"/boot/initrd*
: >"$root/etc/machine-id"
: >"$root/etc/fstab"
printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
for unit in systemd-networkd.service ssh.service; do chroot "$root" systemctl --quiet enable "$unit"; done
chroot "$root" systemctl --quiet disable systemd-networkd-wait-online.service || true
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
  systemd-networkd-wait-online.service getty@tty1.service e2scrub_reap.service; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

# Everything that this disk and network need is in these modules, in the order of their loading.
mini=$work/mini
version=$(cd "$root/lib/modules" && echo *)
mkdir -p "$mini"/{bin,dev,proc,new,lib}
cp "$root/bin/busybox" "$mini/bin/busybox"
modules() { chroot "$root" modprobe --set-version "$version" --show-depends "$1" | sed -n 's/^insmod \([^ ]*\).*/\1/p'; }
for wanted in virtio_pci virtio_blk virtio_rng virtio_net virtio_console qemu_fw_cfg; do
  for path in $(modules "$wanted"); do
    name=$(basename "$path")
    [ -e "$mini/lib/$name" ] || { cp "$root$path" "$mini/lib/" && echo "$name" >>"$mini/lib/order"; }
  done
done
cat >"$mini/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
while read -r module; do /bin/busybox insmod "/lib/$module"; done </lib/order
tries=0
until [ -b /dev/vda ] || [ $tries = 100 ]; do /bin/busybox usleep 20000; tries=$((tries + 1)); done
/bin/busybox mount -t ext4 -o rw,relatime /dev/vda /new || exec /bin/busybox sh
/bin/busybox mount --move /dev /new/dev
exec /bin/busybox switch_root /new /sbin/init
INIT
chmod 755 "$mini/init"
(cd "$mini" && find . | busybox cpio -o -H newc | gzip -1 >"$work/initrd")
cp "$root"/boot/vmlinuz-* "$work/kernel"
rm -rf "$root"/boot/* "$root"/var/cache/apt/*.bin "$root"/var/lib/apt/lists/*
mke2fs -q -t ext4 -O ^has_journal -d "$root" "$work/disk.raw" 2G

rm -rf "$root" "$mini"
chmod 755 "$work" && chmod 644 "$work"/*
sync
if mv -T "$work" "$out" 2>/dev/null; then
  find "$cache" -mindepth 1 -maxdepth 1 -name 'debian-12-*' -mtime +7 -exec rm -rf {} +
fi
[ -e "$out/disk.raw" ]
echo "$out" >&3
