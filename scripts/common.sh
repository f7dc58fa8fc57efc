# What the scripts share; each sources it first. From then on the current folder is the checkout.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CCACHE_BASEDIR="$PWD" CCACHE_NOHASHDIR=1  # checkouts share what was compiled

step() { printf '\n== %s (%s s so far)\n' "$1" "$SECONDS"; }

# How many compilers may run at once: one for each processor, and 1,200 MiB of memory for each.
jobs() {
  local processors memory limit
  processors=$(nproc)
  memory=$(awk '/^MemAvailable:/ {print int($2 / 1024)}' /proc/meminfo)
  limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || true)
  if [[ "$limit" =~ ^[0-9]+$ ]] && [ $((limit / 1048576)) -lt "$memory" ]; then memory=$((limit / 1048576)); fi
  local fit=$((memory / 1200))
  [ "$fit" -lt "$processors" ] || fit=$processors
  if [ "$fit" -lt 1 ]; then
    echo "Only $memory MiB of memory are free; compiling may need 1,200." >&2
    fit=1
  fi
  echo "$fit"
}

# build PRESET [TARGET…]: configures (with the options in `configure`) and compiles. When it fails, what cmake or the
# compiler said is followed by a line about what to do.
configure=()
build() {
  local preset=$1 log
  shift
  log=$(mktemp)
  if ! cmake --preset "$preset" "${configure[@]}" >"$log" 2>&1; then
    cat "$log" >&2
    rm "$log"
    echo "Configuring failed (see above). scripts/setup installs what building needs." >&2
    return 1
  fi
  rm "$log"
  if ! cmake --build --preset "$preset" -j "$(jobs)" ${1+--target "$@"}; then
    echo "Building failed (see above). A compiler that was killed found too little memory: 1,200 MiB have to be free." >&2
    return 1
  fi
}
