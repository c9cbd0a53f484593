#!/bin/sh
# device.sh [BUILD] - everything that only a GPU can show, in under 8 minutes: results/device/DATE-GPU.md
# gets the machine, the commit and what each step came to. A failing step is recorded, and the next
# one goes on. Exit codes: 0 all passed, 1 some failed, 3 no GPU.
#
# Needs nvcc, a GPU, and the packages of ./run setup, which is tried. BUILD is a folder that was
# built elsewhere (mixgrid, op_test, op_bench; libraries this machine lacks in BUILD/lib): nothing is
# built then. compute-sanitizer, and PyTorch with the models of shared/peers, are used where they are.
cd "$(dirname "$0")/../.." || exit 3
export LC_ALL=C
UNAVAILABLE=77 # exit code of a step that this machine cannot take; the last line says why
LIMIT_S=460    # of the whole script

# --- steps: each is a process of its own, see `step` -----------------------------------------------

compile() {
    ./run setup || echo "going on with what is there"
    cmake --preset release -DCUDA=ON &&
        cmake --build --preset release --target mixgrid op_test op_bench
}

parity() { "$BUILD/op_test"; }

sweep() { # FOLDER GRID ARGUMENT...: trains; FOLDER.txt gets everything that was computed
    folder=$WORK/$1 grid=$2
    shift 2
    "$BUILD/mixgrid" run "$grid" --db "$folder/r.db" --no-report "$@" || return
    for query in \
        "select id, state, params from run order by id" \
        "select * from metric order by run, split, slice, name, step" \
        "select * from final order by run, split, slice, name" \
        "select * from param_hash order by run, step"; do
        "$BUILD/mixgrid" query --db "$folder/r.db" --format csv "$query" || return
    done >"$folder.txt"
}

same() { # FOLDER FOLDER: trained to the same bits
    echo "$(wc -l <"$WORK/$1.txt") lines of results, $(grep -c . "$WORK/$2.txt") in the other"
    [ -s "$WORK/$1.txt" ] && cmp "$WORK/$1.txt" "$WORK/$2.txt"
}

repeats() {
    sweep first experiments/tiny.yaml --device cuda seeds=8 &&
        sweep second experiments/tiny.yaml --device cuda seeds=8 && same first second
}

packs() {
    sweep alone experiments/tiny.yaml --device cuda --pack 1 seeds=8 &&
        sweep packed experiments/tiny.yaml --device cuda --pack 8 seeds=8 &&
        same alone packed
}

no_graph() {
    sweep queued experiments/tiny.yaml --device cuda seeds=8 --no-graph &&
        sweep recorded experiments/tiny.yaml --device cuda seeds=8 && same queued recorded
}

resumes() { .ci/test-sweep "$BUILD/mixgrid" 20000; } # --device auto is the GPU

quickstart() {
    for device in cuda cpu; do
        begin_s=$(date +%s.%N)
        set -- "$BUILD/mixgrid" run experiments/quickstart.yaml --no-report --device $device \
            --db "$WORK/quickstart-$device/r.db"
        [ $device = cuda ] || set -- taskset -c 0,1 "$@" --workers 2
        "$@" >"$WORK/quickstart-$device.txt" || return
        echo "$device $begin_s $(date +%s.%N)" |
            awk '{ printf "quickstart on %s: %.1f s\n\n", $1 == "cpu" ? "2 CPU cores" : "the GPU", $3 - $2 }'
        "$BUILD/mixgrid" query --db "$WORK/quickstart-$device/r.db" --format markdown \
            "select mixer, slice, round(avg(value), 4) as token_acc, count(*) as n from v_final
             where split = 'test' and name = 'token_acc' group by mixer, slice" || return
        echo
    done
}

# The first case of each op, several processes at a time.
sanitize() { # TOOL
    command -v compute-sanitizer || {
        echo "no compute-sanitizer on the PATH"
        exit $UNAVAILABLE
    }
    # shellcheck disable=SC2016 # expanded by the inner shell
    find kernels/op -name '*.c' -exec basename {} .c \; | sort |
        xargs -P 8 -I OP sh -c 'timeout 100 compute-sanitizer --tool "$1" --error-exitcode 9 \
            "$BUILD/op_test" OP 0 >"$WORK/$1-OP.log" 2>&1 && exit 0
            echo "$1 on OP: status $?"; grep "=====" "$WORK/$1-OP.log" | head -n 12; exit 1' sh "$1"
}

op_speed() { "$BUILD/op_bench" --backend cuda --markdown; }

model_speed() { "$BUILD/mixgrid" bench --device cuda --ms 100; }

peer() {
    for folder in shared/peers ../shared/peers; do
        [ ! -e "$folder/models.py" ] || break
    done
    if [ ! -e "$folder/models.py" ] || ! python3 -c 'import torch; torch.cuda.current_device()'; then
        echo "no PyTorch with CUDA, or no shared/peers/models.py"
        exit $UNAVAILABLE
    fi
    python3 kernels/bench/peer_cuda.py "$folder"
}

if [ "${1:-}" = --step ]; then
    shift
    "$@"
    exit
fi

# --- the sheet ------------------------------------------------------------------------------------

gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1)
if [ -z "$gpu" ]; then
    echo "no GPU: nothing was run"
    exit 3
fi
prebuilt=${1:-}
BUILD=$PWD/build/release
[ -z "$prebuilt" ] || BUILD=$(cd "$prebuilt" && pwd) || exit 3
WORK=$(mktemp -d) || exit 3
trap 'rm -rf "$WORK"' EXIT
export BUILD WORK
[ ! -d "$BUILD/lib" ] || export LD_LIBRARY_PATH="$BUILD/lib:${LD_LIBRARY_PATH:-}"
start_s=$(date +%s) passed=0 failed=0
: >"$WORK/rows"
: >"$WORK/sections"

section() { # TITLE FILE: at most 150 lines of it, tables as they are
    {
        printf '\n## %s\n\n' "$1"
        if grep -q '^|' "$2"; then
            head -n 150 "$2"
        else
            echo '```'
            head -n 150 "$2"
            echo '```'
        fi
    } >>"$WORK/sections"
}

step() { # KEEP SECONDS TITLE COMMAND...: KEEP: figures, whose output is wanted, or check
    keep=$1 allowed_s=$2 title=$3
    shift 3
    begin_s=$(date +%s)
    left_s=$((LIMIT_S - begin_s + start_s))
    [ "$allowed_s" -le $left_s ] || allowed_s=$((left_s > 1 ? left_s : 1))
    echo "== $title" >&2
    timeout -k 5 "$allowed_s" sh kernels/test/device.sh --step "$@" >"$WORK/log" 2>&1 </dev/null
    status=$?
    case $status in
    0) verdict=passed passed=$((passed + 1)) ;;
    "$UNAVAILABLE") verdict="not run: $(tail -n 1 "$WORK/log")" ;;
    124 | 137) verdict="FAILED: not done in $allowed_s s" failed=$((failed + 1)) ;;
    *) verdict="FAILED: status $status" failed=$((failed + 1)) ;;
    esac
    took_s=$(($(date +%s) - begin_s))
    echo "| $title | $verdict | $took_s |" >>"$WORK/rows"
    echo "== $title: $verdict, $took_s s" >&2
    case $keep,$verdict in
    *,FAILED*)
        tail -n 40 "$WORK/log" >"$WORK/tail"
        section "$title: the last lines" "$WORK/tail"
        ;;
    figures,passed) section "$title" "$WORK/log" ;;
    esac
}

sheet=results/device/$(date +%Y-%m-%d)-$(printf '%s' "$gpu" | tr -cs 'A-Za-z0-9' '-').md
write_sheet() { # after every step: what is known stays if the machine is taken away
    mkdir -p results/device
    {
        printf '# %s, %s\n\n| | |\n|---|---|\n' "$gpu" "$(date +%Y-%m-%d)"
        nvidia-smi --query-gpu=uuid,memory.total,driver_version,clocks.max.sm \
            --format=csv,noheader | head -n 1 | sed 's/^/| GPU, memory, driver, clock | /; s/$/ |/'
        echo "| CUDA | $(nvcc --version 2>/dev/null | sed -n 's/.*release //p') |"
        echo "| commit | $(git rev-parse HEAD 2>/dev/null || echo unknown)$(
            [ -z "$(git status --porcelain --untracked-files=no 2>/dev/null)" ] || echo ', changed') |"
        echo "| host | $(uname -sr), $(nproc) processors of $(
            sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1) |"
        echo "| time | $(($(date +%s) - start_s)) s; $passed steps passed, $failed failed |"
        printf '\n| step | result | s |\n|---|---|---:|\n'
        cat "$WORK/rows" "$WORK/sections"
    } >"$sheet"
}

check() {
    step check "$@"
    write_sheet
}
figures() {
    step figures "$@"
    write_sheet
}

[ -n "$prebuilt" ] || check 240 "build with CUDA" compile
figures 20 "what mixgrid finds" "$BUILD/mixgrid" doctor
check 150 "ops: GPU against double precision, runs, repeat, alignment" parity
check 40 "repeat: trained twice, the same bits" repeats
check 40 "packs: 8 runs in one, each as alone" packs
check 60 "recorded or not, the same bits" no_graph
check 90 "resume: interrupted again and again, the same bits" resumes
figures 60 "speed of ops" op_speed
figures 90 "speed of models, packs of 1 to 64" model_speed
figures 150 "quickstart: GPU and 2 CPU cores" quickstart
figures 60 "PyTorch on this GPU" peer
for tool in memcheck racecheck initcheck synccheck; do
    check 100 "compute-sanitizer $tool" sanitize $tool
done

echo "device.sh: $passed steps passed, $failed failed, see $sheet"
[ $failed -eq 0 ]
