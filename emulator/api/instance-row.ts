/** A contract as the API shows it: every field of vast-api.md 4.2, with the statuses of 4.4. */
import { diskPricePerHour } from "../billing/billing.ts";
import { PHASES } from "../market/contracts.ts";
import { strangersBid } from "../market/listing.ts";
import { hardwareRow } from "../market/offer-row.ts";
import type { Row } from "../market/query.ts";
import { round } from "../market/random.ts";
import { slotOf, type World } from "../market/world.ts";
import type { ContractRecord } from "../state/records.ts";

/** Contracts of an account that reads show now, lowest id first. */
export function visibleContracts(world: World, accountId: number, t: number): ContractRecord[] {
  return world.contracts
    .values()
    .filter((one) => one.accountId === accountId && PHASES[one.phase].exists && one.hiddenUntil <= t)
    .sort((a, b) => a.id - b.id);
}

/** `in-list` rows carry `volume_info`; the single read has none. */
export function instanceRow(world: World, contract: ContractRecord, t: number, where: "in-list" | "single"): Row {
  const slot = slotOf(world, contract.slot);
  const facts = PHASES[contract.phase];
  const actual = contract.offline ? "offline" : facts.actual;
  const isUp = actual === "running";
  const usage = isUp ? world.machines.usage(contract.id) : undefined;
  const disk = diskPricePerHour(contract.storageCost, contract.diskGB);
  const usedGB = usage ? usage.diskBytes / 1e9 : null;
  const hardware = hardwareRow(slot);
  return {
    ...hardware,
    id: contract.id,
    label: contract.label,
    actual_status: actual,
    intended_status: facts.intended,
    cur_state: facts.current,
    next_state: facts.next,
    status_msg: contract.statusMsg,
    image_uuid: contract.image,
    image_args: contract.args,
    image_runtype: contract.runtype,
    extra_env: contract.env,
    onstart: contract.onstart,
    template_id: null,
    template_hash_id: contract.templateHash,
    template_name: null,
    ssh_host: "127.0.0.1",
    ssh_port: contract.proxyPort,
    ssh_idx: String((contract.id % 9) + 1),
    ...(world.machines.sshUser === undefined ? {} : { ssh_user: world.machines.sshUser }),
    machine_dir_ssh_port: contract.proxyPort,
    public_ipaddr: "127.0.0.1",
    // Blanks at the end are no mistake: the real market has them, and clients must trim.
    local_ipaddrs: "127.0.0.1 \n",
    ...portsOf(contract, isUp),
    direct_port_count: Object.keys(contract.ports).length,
    direct_port_start: -1,
    direct_port_end: -1,
    country_code: slot.machine.place.slice(-2),
    jupyter_token: contract.jupyterToken,
    start_date: contract.createdAt,
    end_date: contract.endDate,
    duration: Math.max(0, contract.endDate - t),
    uptime_mins: contract.upAt === null ? null : round((t - contract.upAt) / 60, 2),
    client_run_time: round(contract.total.gpuHours, 6),
    host_run_time: round(contract.total.gpuHours, 6),
    time_remaining: "",
    time_remaining_isbid: "",
    is_bid: contract.isBid,
    min_bid: round(strangersBid(world, slot, t), 6),
    dph_base: round(contract.gpuPricePerHour, 6),
    dph_total: round(contract.gpuPricePerHour + disk, 6),
    storage_cost: contract.storageCost,
    storage_total_cost: round(disk, 6),
    inet_up_cost: contract.inetUpCost,
    inet_down_cost: contract.inetDownCost,
    internet_up_cost_per_tb: round(contract.inetUpCost * 1000, 3),
    internet_down_cost_per_tb: round(contract.inetDownCost * 1000, 3),
    search: priceParts(contract.gpuPricePerHour, disk),
    instance: priceParts(facts.billsGpu || facts.holdsGpus ? contract.gpuPricePerHour : 0, disk),
    credit_balance: null,
    credit_discount: null,
    credit_discount_max: 0.3,
    gpu_totalram: hardware.gpu_total_ram,
    gpu_util: usage ? usage.gpuUtil : null,
    gpu_temp: usage ? round(34 + usage.gpuUtil * 0.4, 1) : null,
    cpu_util: usage ? round(usage.gpuUtil / 100, 3) : null,
    mem_limit: round(((slot.machine.cpuRamMB / 1024) * slot.gpuIds.length) / slot.machine.gpuCount, 2),
    mem_usage: usage ? 0.5 : null,
    vmem_usage: usage ? round((usage.gpuUtil / 100) * 0.6 * (slot.machine.gpu.ramMB / 1024), 2) : null,
    disk_space: contract.diskGB,
    disk_usage: usedGB === null ? -1 : round(usedGB, 3),
    disk_util: usedGB === null ? -1 : round(usedGB / contract.diskGB, 4),
    dlperf_per_dphtotal: round((hardware.dlperf as number) / (contract.gpuPricePerHour + disk), 3),
    flops_per_dphtotal: round((hardware.total_flops as number) / (contract.gpuPricePerHour + disk), 3),
    score: round((hardware.dlperf as number) / (contract.gpuPricePerHour + disk), 3),
    vram_costperhour: round(contract.gpuPricePerHour / ((hardware.gpu_total_ram as number) / 1024), 8),
    rentable: false,
    rented: true,
    external: false,
    ...(where === "in-list" ? { volume_info: [] } : {}),
  };
}

/** No `ports` key unless it runs: the official client crashes on a null. */
function portsOf(contract: ContractRecord, isUp: boolean): Row {
  if (!isUp || Object.keys(contract.ports).length === 0) return {};
  const ports: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const [name, host] of Object.entries(contract.ports))
    ports[name] = [{ HostIp: "0.0.0.0", HostPort: String(host) }];
  return { ports };
}

function priceParts(gpu: number, disk: number): Row {
  return {
    gpuCostPerHour: round(gpu, 6),
    diskHour: round(disk, 6),
    totalHour: round(gpu + disk, 6),
    discountTotalHour: 0,
    discountedTotalPerHour: round(gpu + disk, 6),
  };
}
