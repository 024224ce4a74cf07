#!/usr/bin/env bash
# Installs liboneid to a folder of its own and builds the example against it as an outsider does: with
# CMake's find_package, and with pkg-config. Usage: test_install.sh BUILD SOURCE CC [CFLAG ...]
set -euo pipefail
build=$1 source=$2 cc=$3
shift 3
flags="$*"
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT

cmake --install "$build" --prefix "$prefix/usr" >/dev/null

# Nothing but the client is installed, and nothing but its API shows.
find "$prefix/usr" -type f -o -type l | sed "s|$prefix/usr/||" | sort >"$prefix/files"
if grep -vE '^(include/oneid/oneid\.h|lib.*/(liboneid\.so(\.[0-9.]+)?|cmake/oneid/oneid[A-Za-z-]*\.cmake|pkgconfig/oneid\.pc))$' "$prefix/files"; then
    echo "installed, but not of the client" >&2
    exit 1
fi
library=$(find "$prefix/usr" -name liboneid.so)
nm -D --defined-only "$library" | awk '{print $NF}' | sed 's/@.*//' | sort >"$prefix/symbols"
if grep -v '^oneid_' "$prefix/symbols"; then
    echo "exported, but not of the API" >&2
    exit 1
fi
grep -oE '\boneid_[a-z0-9_]+\(' "$prefix/usr/include/oneid/oneid.h" | tr -d '(' | sort -u >"$prefix/declared"
if ! diff "$prefix/symbols" "$prefix/declared"; then
    echo "the header and the library differ" >&2
    exit 1
fi

# CMake
cmake -S "$source/client/example" -B "$prefix/build" -G Ninja -DCMAKE_PREFIX_PATH="$prefix/usr" \
    -DCMAKE_C_COMPILER="$cc" -DCMAKE_C_FLAGS="$flags" >/dev/null
cmake --build "$prefix/build" >/dev/null
said=$("$prefix/build/example" --version)
[[ $said == "liboneid "[0-9]* ]]

# pkg-config, with the folder to which it was moved
folder=$(dirname "$(find "$prefix/usr" -name oneid.pc)")
read -ra args <<<"$(PKG_CONFIG_PATH=$folder pkg-config --define-variable=prefix="$prefix/usr" --cflags --libs oneid)"
# shellcheck disable=SC2086
"$cc" -std=c11 $flags "$source/client/example/example.c" "${args[@]}" -o "$prefix/example"
again=$(LD_LIBRARY_PATH=$(dirname "$library") "$prefix/example" --version)
[ "$again" = "$said" ]
echo "$said"
