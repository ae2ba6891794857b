#!/bin/sh
# nvidia-smi stand-in of the emulated machines. Knows the table, -L, --query-gpu, --query-compute-apps,
# --format=csv[,noheader][,nounits], -i and -l. The load is the CPU time that the machine's processes use, one
# busy core being 100 % (emulator/machine/gpu.ts has the same rule). POSIX sh and awk, as it is polled often.

. "$(dirname "$0")/.nvidia-smi.conf" || exit 9

PROC=${NVIDIA_SMI_PROC:-/proc}
SAMPLE_SECONDS=${NVIDIA_SMI_SAMPLE:-0.1}
NOW=${NVIDIA_SMI_NOW:-}

mode=table query='' format='' chosen='' every='' milliseconds=''

fail() { printf '%s\n' "$1"; exit "${2:-1}"; }

while [ $# -gt 0 ]; do
  case $1 in
    -L | --list-gpus) mode=list ;;
    --query-gpu=*) mode=gpu query=${1#*=} ;;
    --query-compute-apps=*) mode=apps query=${1#*=} ;;
    --format=*) format=${1#*=} ;;
    -i | --id) chosen=$2; shift ;;
    -i=* | --id=*) chosen=${1#*=} ;;
    -l | --loop) every=$2; shift ;;
    -l=* | --loop=*) every=${1#*=} ;;
    -lms | --loop-ms) milliseconds=$2; shift ;;
    -lms=* | --loop-ms=*) milliseconds=${1#*=} ;;
    --version)
      printf 'NVIDIA-SMI version  : %s\nNVML version        : %s\nDRIVER version      : %s\nCUDA Version        : %s\n' \
        "$GPU_DRIVER" "${GPU_DRIVER%.*}" "$GPU_DRIVER" "$GPU_CUDA"
      exit 0 ;;
    -h | --help)
      printf 'NVIDIA System Management Interface -- v%s (stand-in of the emulated market)\n\n' "$GPU_DRIVER"
      printf 'nvidia-smi [-L] [-i ID] [-l SECONDS] [--query-gpu=FIELDS | --query-compute-apps=FIELDS] [--format=csv[,noheader][,nounits]]\n'
      exit 0 ;;
    *) fail "Invalid combination of input arguments. Please run 'nvidia-smi -h' for help." 1 ;;
  esac
  shift
done

[ "$mode" = table ] || [ "$mode" = list ] || case ,$format, in
  *,csv,*) ;;
  *) fail 'Option "--format=" must be used with "csv" for queries.' 2 ;;
esac

# Lines of /proc/PID/stat of all the machine's processes. Elsewhere than in a machine of its own
# (plain mode) those are the ones that carry the machine's marker.
snapshot() {
  if [ -n "$VASTLANE_PLAIN" ]; then
    for pid in $(grep -lzsx "VASTLANE_MACHINE=$VASTLANE_MACHINE" "$PROC"/[0-9]*/environ); do
      cat "${pid%/environ}/stat" 2>/dev/null
    done
  else
    cat "$PROC"/[0-9]*/stat 2>/dev/null
  fi
}

needs_load() {
  case $mode,$query in
    list,*) return 1 ;;
    gpu,*utilization* | gpu,*memory.used* | gpu,*memory.free* | gpu,*power.draw* | gpu,*temperature* | gpu,*clocks* | gpu,*pstate* | gpu,*fan*) return 0 ;;
    gpu,*) return 1 ;;
  esac
}

report() {
  before='' after=''
  if needs_load && [ -d "$PROC" ]; then
    before=$(snapshot)
    sleep "$SAMPLE_SECONDS"
    after=$(snapshot)
  fi
  { printf '%s\n' "$before"; printf '=\n'; printf '%s\n' "$after"; } | awk \
    -v mode="$mode" -v query="$query" -v format="$format" -v chosen="$chosen" -v self="$$" \
    -v seconds="$SAMPLE_SECONDS" -v name="$GPU_NAME" -v count="$GPU_COUNT" -v total="$GPU_MEMORY_MB" \
    -v limit="$GPU_POWER_W" -v driver="$GPU_DRIVER" -v cuda="$GPU_CUDA" -v capability="$GPU_CAPABILITY" \
    -v fanless="$GPU_FANLESS" -v uuids="$GPU_UUIDS" -v buses="$GPU_BUSES" \
    -v stamp="${NOW:-$(date '+%Y/%m/%d %H:%M:%S.000')}" -v clock="${NOW:-$(date '+%a %b %e %H:%M:%S %Y')}" '
# One line of /proc/PID/stat: the name is in parentheses and may hold blanks.
function read_stat(line, into,    at, head, fields) {
  at = 0
  while (match(substr(line, at + 1), /\)/)) at += RSTART
  head = substr(line, 1, at)
  split(substr(line, at + 2), fields, " ")
  into["pid"] = head + 0
  into["name"] = substr(head, index(head, "(") + 1)
  sub(/\)$/, "", into["name"])
  into["parent"] = fields[2]
  into["ticks"] = fields[12] + fields[13]
  into["rss"] = fields[22] / 256        # pages of 4 KiB -> MiB
}
/^=$/ { second = 1; next }
/^$/ { next }
!second { read_stat($0, row); ticks[row["pid"]] = row["ticks"]; next }
{
  read_stat($0, row); pid = row["pid"]
  if (!(pid in ticks) || pid == self || row["parent"] == self) next
  cores = (row["ticks"] - ticks[pid]) / (100 * seconds)
  busy += cores
  # What computes has the GPU memory that it has RAM; shells and sshd have none.
  if (cores >= 0.05 && row["name"] !~ /^(sshd.*|sh|bash|dash|tmux.*|rsync|nvidia-smi|awk|mawk)$/) {
    apps++; app_pid[apps] = pid; app_name[apps] = row["name"]; app_mb[apps] = int(row["rss"]); held += int(row["rss"])
  }
}

function fact(field, gpu) {
  if (field == "name" || field == "gpu_name") return name
  if (field == "index") return gpu
  if (field == "count") return count
  if (field == "uuid" || field == "gpu_uuid") return uuid[gpu + 1]
  if (field == "pci.bus_id" || field == "gpu_bus_id") return bus[gpu + 1]
  if (field == "driver_version") return driver
  if (field == "timestamp") return stamp
  if (field == "compute_cap") return capability
  if (field == "memory.total") return total
  if (field == "memory.used") return used
  if (field == "memory.free") return total - used - reserved
  if (field == "memory.reserved") return reserved
  if (field == "utilization.gpu") return load
  if (field == "utilization.memory") return int(load * 0.6)
  if (field == "temperature.gpu") return int(31 + load * 0.42)
  if (field == "power.draw" || field == "power.draw.instant" || field == "power.draw.average") return sprintf("%.2f", draw)
  if (field ~ /^(enforced\.)?power\.(limit|max_limit|default_limit)$/) return sprintf("%.2f", limit)
  if (field == "power.min_limit") return sprintf("%.2f", limit * 0.3)
  if (field == "pstate") return load > 0 ? "P2" : "P8"
  if (field ~ /^clocks\.(current\.)?(gr|graphics|sm)$/) return load > 0 ? 1695 : 210
  if (field ~ /^clocks\.(current\.)?(mem|memory)$/) return load > 0 ? 9501 : 405
  if (field ~ /^clocks\.max\.(gr|graphics|sm)$/) return 2100
  if (field ~ /^clocks\.max\.(mem|memory)$/) return 9751
  if (field == "fan.speed") return fanless ? "[N/A]" : int(30 + load * 0.4)
  if (field == "persistence_mode") return "Enabled"
  if (field == "compute_mode") return "Default"
  if (field ~ /^display_(active|mode)$/) return "Disabled"
  if (field ~ /^pcie\.link\.gen/) return 4
  if (field ~ /^pcie\.link\.width/) return 16
  if (field ~ /^clocks_(throttle|event)_reasons\.active$/) return load > 0 ? "0x0000000000000000" : "0x0000000000000001"
  if (field ~ /^(serial|gpu_serial|vbios_version|temperature\.memory|ecc\..*|mig\.mode\..*|accounting\..*)$/) return "[N/A]"
  return ""
}
function app_fact(field, gpu, app) {
  if (field == "pid") return app_pid[app]
  if (field == "process_name" || field == "name") return app_name[app]
  if (field == "used_memory" || field == "used_gpu_memory") return app_mb[app]
  if (field ~ /^(gpu_.*|timestamp)$/) return fact(field, gpu)
  return ""
}
function unit(field) {
  if (field ~ /^memory\.|^used_(gpu_)?memory$/) return "MiB"
  if (field ~ /^utilization\./ || field == "fan.speed") return "%"
  if (field ~ /power\.(draw|limit|max_limit|min_limit|default_limit)/) return "W"
  if (field ~ /^clocks\./) return "MHz"
  return ""
}
function heading(    line, at) {
  for (at = 1; at <= fields; at++) line = line (at > 1 ? ", " : "") field[at] (unit(field[at]) == "" ? "" : " [" unit(field[at]) "]")
  return line
}
function cell(value, of) {
  return unit(of) == "" || format ~ /nounits/ || value == "[N/A]" ? value : value " " unit(of)
}
function wanted(gpu,    at, list, many) {
  if (chosen == "") return 1
  many = split(chosen, list, ",")
  for (at = 1; at <= many; at++) if (list[at] == gpu "" || list[at] == uuid[gpu + 1] || list[at] == bus[gpu + 1]) return 1
  return 0
}
function table(    gpu, app) {
  print clock
  print "+-----------------------------------------------------------------------------------------+"
  printf "| NVIDIA-SMI %-22s Driver Version: %-14s CUDA Version: %-8s |\n", driver, driver, cuda
  print "|-----------------------------------------+------------------------+----------------------+"
  print "| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |"
  print "| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |"
  print "|                                         |                        |               MIG M. |"
  print "|=========================================+========================+======================|"
  for (gpu = 0; gpu < count; gpu++) if (wanted(gpu)) {
    printf "| %3d  %-31.31sOn  | %18s Off | %20s |\n", gpu, name, bus[gpu + 1], "N/A"
    printf "| %3s %5s    %-4s %20s  | %22s | %7s %12s |\n", fanless ? "N/A" : fact("fan.speed", gpu) "%", fact("temperature.gpu", gpu) "C", \
      fact("pstate", gpu), sprintf("%dW / %dW", draw, limit), sprintf("%6dMiB / %6dMiB", used, total), load "%", "Default"
    printf "| %39s | %22s | %20s |\n", "", "", "N/A"
    print "+-----------------------------------------+------------------------+----------------------+"
  }
  print ""
  print "+-----------------------------------------------------------------------------------------+"
  printf "| %-87s |\n", "Processes:"
  printf "| %-87s |\n", " GPU   GI   CI        PID   Type   Process name                              GPU Memory"
  printf "| %-87s |\n", "       ID   ID                                                               Usage"
  print "|=========================================================================================|"
  for (app = 1; app <= apps; app++) for (gpu = 0; gpu < count; gpu++) if (wanted(gpu))
    printf "| %4d   N/A  N/A  %9d      C   %-38.38s %11s |\n", gpu, app_pid[app], app_name[app], app_mb[app] "MiB"
  if (!apps) printf "| %-87s |\n", " No running processes found"
  print "+-----------------------------------------------------------------------------------------+"
}
END {
  split(uuids, uuid, " "); split(buses, bus, " ")
  load = busy < 0.02 ? 0 : int(busy * 100 + 0.5); if (load > 100) load = 100
  used = int(held) + 1; reserved = int(total * 0.014); if (used > total - reserved) used = total - reserved
  draw = limit * (0.07 + 0.0085 * load)
  found = 0
  for (gpu = 0; gpu < count; gpu++) found += wanted(gpu)
  if (!found) { print "No devices were found"; exit 6 }
  if (mode == "table") { table(); exit }
  if (mode == "list") {
    for (gpu = 0; gpu < count; gpu++) if (wanted(gpu)) printf "GPU %d: %s (UUID: %s)\n", gpu, name, uuid[gpu + 1]
    exit
  }
  fields = split(query, field, ",")
  for (at = 1; at <= fields; at++) {
    gsub(/^ +| +$/, "", field[at])
    if ((mode == "gpu" ? fact(field[at], 0) : app_fact(field[at], 0, 0) app_probe(field[at])) == "") {
      printf "Field \"%s\" is not a valid field to query.\n\n", field[at]; exit 2
    }
  }
  if (format !~ /noheader/) print heading()
  if (mode == "gpu") {
    for (gpu = 0; gpu < count; gpu++) if (wanted(gpu)) {
      line = ""
      for (at = 1; at <= fields; at++) line = line (at > 1 ? ", " : "") cell(fact(field[at], gpu), field[at])
      print line
    }
  } else {
    for (app = 1; app <= apps; app++) for (gpu = 0; gpu < count; gpu++) if (wanted(gpu)) {
      line = ""
      for (at = 1; at <= fields; at++) line = line (at > 1 ? ", " : "") cell(app_fact(field[at], gpu, app), field[at])
      print line
    }
  }
}
function app_probe(of) { return of ~ /^(pid|process_name|name|used_memory|used_gpu_memory)$/ ? "known" : "" }
'
}

if [ -n "$milliseconds" ]; then every=$(awk -v ms="$milliseconds" 'BEGIN { print ms / 1000 }'); fi
report || exit $?
while [ -n "$every" ]; do sleep "$every"; report; done
