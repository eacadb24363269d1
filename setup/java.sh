#!/bin/sh
# Sees to it that there is a Java 17 or 21: installs one where that takes no questions, else says what to install.
here=$(dirname "$0")
sh "$here/find_java.sh" >/dev/null && exit 0

as_root=
[ "$(id -u)" -eq 0 ] || { sudo -n true 2>/dev/null && as_root=sudo; }
if command -v apt-get >/dev/null && { [ "$(id -u)" -eq 0 ] || [ -n "$as_root" ]; }; then
    echo "installing Java"
    $as_root apt-get update -qq
    for version in 17 21; do
        $as_root apt-get install -y -qq --no-install-recommends "openjdk-$version-jre-headless" >/dev/null 2>&1 && break
    done
    sh "$here/find_java.sh" >/dev/null && exit 0
fi
echo "larder needs Java 17 or 21, and found neither. Install one and run make again:" >&2
echo "  Debian, Ubuntu:  sudo apt-get install openjdk-17-jre-headless   (or openjdk-21-jre-headless)" >&2
echo "  macOS:           brew install openjdk@17" >&2
echo "or set JAVA_HOME to one that is somewhere else." >&2
exit 1
