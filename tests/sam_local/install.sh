#!/usr/bin/env bash
# Podman and what it needs, on Debian and as root alone; elsewhere, what to install.
set -euo pipefail
packages=(podman runc fuse-overlayfs slirp4netns buildah uidmap conmon iptables netavark
    containernetworking-plugins golang-github-containers-common socat)

missing=()
for program in podman runc conmon iptables socat setpriv; do
    command -v "$program" >/dev/null || missing+=("$program")
done
if [ "$(id -u)" -ne 0 ]; then
    echo "the tests of sam local run Podman as root; run them as root, or with Docker by docs/sam-local.md" >&2
    exit 1
fi
[ ${#missing[@]} -eq 0 ] && exit
if ! command -v apt-get >/dev/null; then
    echo "the tests of sam local need ${missing[*]}; on Debian these packages: ${packages[*]}" >&2
    exit 1
fi
echo "installing Podman for the tests of sam local"
apt-get update -q >/dev/null
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}" >/dev/null
