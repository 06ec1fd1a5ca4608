#!/usr/bin/env bash
# What one would write without slipway: boots $IMAGE with the seed in $FOLDER/seed, and asks by ssh until it answers.
set -euo pipefail
cd "$FOLDER"
qemu-img create -q -f qcow2 -F raw -b "$IMAGE" disk.qcow2
qemu-system-x86_64 -name by-hand -nodefaults -no-user-config -display none -daemonize -pidfile pid \
  -machine q35 -accel tcg,thread=multi,tb-size=128 -cpu max -smp "$CORES" -m "$MEMORY" \
  -drive "if=none,id=disk,file=$FOLDER/disk.qcow2,format=qcow2,cache=unsafe" -device virtio-blk-pci,drive=disk \
  -blockdev "{\"driver\":\"vvfat\",\"node-name\":\"seed\",\"dir\":\"$FOLDER/seed\",\"label\":\"cidata\",\"read-only\":true}" \
  -device virtio-blk-pci,drive=seed -device virtio-rng-pci \
  -netdev user,id=net,hostfwd=tcp:127.0.0.1:19022-:22 -device virtio-net-pci,netdev=net,romfile= \
  -serial "file:$FOLDER/console" -kernel "$KERNEL" -initrd "$INITRD" -append "$APPEND"
wait=1
until ssh -F none -i key -p 19022 -o IdentitiesOnly=yes -o UserKnownHostsFile="$FOLDER/known" -o StrictHostKeyChecking=yes \
  -o BatchMode=yes -o LogLevel=QUIET -o ConnectTimeout="$wait" debian@127.0.0.1 true; do
  sleep 0.2
  wait=$((wait < 8 ? wait + 1 : 8))
done
