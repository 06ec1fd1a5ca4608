# The root of a machine of tier `root`: an overlay of the host's `/`, and one more over each part of it that is mounted by
# itself. Run by the keeper in the machine's disk. Arguments: FOLDER HOSTNAME HOSTS [OTHER_MOUNT_POINT]...
set -eu
folder=$1
echo "$2" >layer/etc/hostname
echo "$3" >layer/etc/hosts
shift 3
overlay=redirect_dir=on,index=off,xino=off
mount -t overlay -o "lowerdir=layer:/,upperdir=upper,workdir=work,$overlay" slipway "$folder/root"
n=0
for point; do
  n=$((n + 1))
  mkdir "upper-$n" "work-$n"
  chmod --reference="$point" "upper-$n"
  chown --reference="$point" "upper-$n"
  lower=$point
  [ ! -d "layer$point" ] || lower=layer$point:$point
  mount -t overlay -o "lowerdir=$lower,upperdir=upper-$n,workdir=work-$n,$overlay" slipway "$folder/root$point"
done
