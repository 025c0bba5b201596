#!/usr/bin/env bash
# Gets an nvcc without installing anything: the one on PATH, else NVIDIA's packages from the mirror that this Debian
# machine already uses (component non-free, of the next release, whose nvcc is the first that knows C++20), unpacked in a
# cache. Prints the path of nvcc, and nothing where none is to be had: then stderr says why, and the CUDA library is not
# compiled. Usage: scripts/fetch-nvcc.sh [FOLDER]
set -euo pipefail

release=trixie
cache=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/secateur-nvcc}
toolkit=$cache/toolkit

none() {
  echo "no nvcc to be had: CUDA not compiled ($1)" >&2
  exit 0
}

if command -v nvcc >/dev/null; then
  command -v nvcc
  exit 0
fi
if [ -x "$toolkit/bin/nvcc" ]; then
  echo "$toolkit/bin/nvcc"
  exit 0
fi
[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || none 'not a Debian machine of the x86-64 kind'
mirror=$(apt-cache policy 2>/dev/null | awk '$2 ~ "^https?://" && $3 ~ "/main$" && $3 !~ "security" { print $2; exit }')
[ -n "$mirror" ] || none 'apt has no list of packages; apt-get update makes one'

mkdir -p "$cache/lists/partial" "$cache/archives/archives/partial" "$cache/debs" "$cache/root"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keyring] $mirror $release main non-free" >"$cache/sources.list"
apt=(-o "Dir::Etc::sourcelist=$cache/sources.list" -o 'Dir::Etc::sourceparts=-' -o "Dir::State::lists=$cache/lists"
  -o "Dir::Cache=$cache/archives" -o 'APT::Sandbox::User=root' -qq)
apt-get "${apt[@]}" update >&2 || none 'the mirror did not answer'
(cd "$cache/debs" && apt-get "${apt[@]}" download nvidia-cuda-toolkit nvidia-cuda-dev libcub-dev libcu++-dev >&2) ||
  none 'the mirror has no packages of CUDA'

# Of a gigabyte of libraries only the runtime is wanted.
wanted=(--wildcards './usr/bin/*' './usr/include/*' './usr/lib/nvidia-cuda-toolkit/*' './usr/lib/*/libcudart_static.a'
  './usr/lib/*/libcudadevrt.a')
for package in "$cache"/debs/*.deb; do
  # Not every package has all of these.
  dpkg-deb --fsys-tarfile "$package" | tar -x -C "$cache/root" "${wanted[@]}" 2>/dev/null || true
done
root=$cache/root/usr
[ -f "$root/include/cuda_runtime.h" ] || none 'the packages could not be unpacked'

# The folders as NVIDIA lays them out, which is what nvcc and CMake look for.
part=$toolkit.part
rm -rf "$part"
mkdir -p "$part/nvvm" "$part/lib64"
mv "$root/bin" "$part/bin"
mv -f "$root"/lib/nvidia-cuda-toolkit/bin/{nvcc,cicc,crt} "$part/bin/"
mv "$root/lib/nvidia-cuda-toolkit/libdevice" "$part/nvvm/libdevice"
[ ! -d "$root/lib/nvidia-cuda-toolkit/compute-sanitizer" ] ||
  mv "$root/lib/nvidia-cuda-toolkit/compute-sanitizer" "$part/compute-sanitizer"
mv "$root/include" "$part/include"
mv "$root"/lib/*/libcuda*.a "$part/lib64/"
cat >"$part/bin/nvcc.profile" <<'PROFILE'
TOP = $(_HERE_)/..
NVVMIR_LIBRARY_DIR = $(TOP)/nvvm/libdevice
PATH += $(TOP)/bin:
INCLUDES += "-isystem" "$(TOP)/include" $(_SPACE_)
LIBRARIES =+ $(_SPACE_) "-L$(TOP)/lib64"
PROFILE
mv "$part" "$toolkit"
rm -rf "$cache/root" "$cache/debs" "$cache/lists" "$cache/archives"
echo "$toolkit/bin/nvcc"
