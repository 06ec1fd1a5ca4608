# The root of a machine of tier `userns`: folders of its own, and an overlay over each other top-level folder of the host.
# Run by the keeper in the machine's disk. Arguments: FOLDER HOSTNAME HOSTS [OTHER_MOUNT_POINT]...
set -eu
folder=$1
echo "$2" >root/etc/hostname
echo "$3" >root/etc/hosts
shift 3
mount --bind root "$folder/root"
n=0
over() { # POINT LAYER: what is below it on the host, with the layer on top
  n=$((n + 1))
  mkdir "upper-$n" "work-$n"
  chmod 0755 "upper-$n"
  lower=$1
  [ ! -d "$2" ] || lower=$2:$1
  mount -t overlay -o "userxattr,lowerdir=$lower,upperdir=upper-$n,workdir=work-$n" slipway "$folder/root$1"
}
for layer in tops/*; do
  over "/${layer#tops/}" "$layer"
done
for point; do
  case $point in
    /etc) ;;
    /*/*) over "$point" "tops$point" ;;
  esac
done
