/**
 * Offers as the market's API shows them: every field of vast-api.md 2.4. Prices are composed there: `dph_total` is
 * GPU plus the disk that the search asked for, with 30 days a month.
 */
import { diskPricePerHour } from "../billing/billing.ts";
import type { Listing } from "./listing.ts";
import { driverNumber, type Row } from "./query.ts";
import { round } from "./random.ts";

export interface OfferQuery {
  type: "on-demand" | "bid" | "reserved";
  /** GB, for the storage part of the price. */
  allocatedStorage: number;
}

const RESERVED_DISCOUNT = 0.3;

/** One row of a search answer; `rented`: whether the caller already rents on this machine. */
export function offerRow(listing: Listing, query: OfferQuery, t: number, rented: boolean): Row {
  const { slot, price, minBid, duration, offerId } = listing;
  const { machine } = slot;
  const isBid = query.type === "bid";
  const base = isBid ? minBid : price;
  const storage = diskPricePerHour(machine.storageCost, query.allocatedStorage);
  const total = base + storage;
  const discount = query.type === "reserved" ? RESERVED_DISCOUNT : 0;
  const discounted = base * (1 - discount) + storage;
  const parts = {
    gpuCostPerHour: round(base, 6),
    diskHour: round(storage, 6),
    totalHour: round(total, 6),
    discountTotalHour: round(base * discount, 6),
    discountedTotalPerHour: round(discounted, 6),
  };
  const static_ = hardwareRow(listing.slot);
  const dlperf = static_.dlperf as number;
  return {
    ...static_,
    id: offerId,
    ask_contract_id: offerId,
    bundled_results: null,
    is_bid: isBid,
    min_bid: round(minBid, 6),
    dph_base: round(base, 6),
    dph_total: round(total, 6),
    dph_total_adj: round(total + machine.inetDownCost * 0.02 + machine.inetUpCost * 0.01, 6),
    storage_total_cost: round(storage, 6),
    discount_rate: discount,
    discounted_hourly: round(base * discount, 6),
    discounted_dph_total: round(discounted, 6),
    credit_discount_max: RESERVED_DISCOUNT,
    vram_costperhour: round(base / ((static_.gpu_total_ram as number) / 1024 || 1), 8),
    dlperf_per_dphtotal: round(dlperf / total, 3),
    flops_per_dphtotal: round((static_.total_flops as number) / total, 3),
    score: round(((dlperf / total) * machine.reliability ** 2) / (1 + slot.gpuIds.length / 16), 3),
    search: parts,
    instance: parts,
    duration: round(duration, 3),
    start_date: round(t + duration - machine.endsAfter - machine.listedBefore, 3),
    end_date: round(t + duration, 3),
    rentable: true,
    rented,
    external: null,
    time_remaining: "",
    time_remaining_isbid: "",
    rn: 1,
  };
}

/** What does not change about a slot; offers and instances both show it. */
export function hardwareRow(slot: Listing["slot"]): Row {
  const { machine } = slot;
  const { gpu } = machine;
  const count = slot.gpuIds.length;
  const share = count / machine.gpuCount;
  return {
    bundle_id: slot.bundleId,
    machine_id: machine.id,
    host_id: machine.hostId,
    hosting_type: machine.hostingType,
    gpu_name: gpu.name,
    gpu_arch: "nvidia",
    num_gpus: count,
    gpu_frac: share,
    gpu_ids: slot.gpuIds,
    gpu_ram: gpu.ramMB,
    gpu_total_ram: gpu.ramMB * count,
    gpu_mem_bw: gpu.memoryBandwidth,
    gpu_lanes: machine.gpuLanes,
    gpu_max_power: gpu.maxPowerW,
    gpu_max_temp: 90,
    gpu_display_active: false,
    bw_nvlink: count > 1 ? gpu.nvlink : 0,
    compute_cap: gpu.computeCap,
    cuda_max_good: machine.cuda,
    driver_version: machine.driver,
    driver_vers: driverNumber(machine.driver),
    total_flops: round(gpu.tflops * count, 3),
    dlperf: round(gpu.dlperf * count, 3),
    cpu_name: machine.cpu.name,
    cpu_arch: "amd64",
    cpu_cores: machine.cpuCores,
    cpu_cores_effective: round(machine.cpuCores * share, 2),
    cpu_ghz: machine.cpu.ghz,
    cpu_ram: machine.cpuRamMB,
    has_avx: 1,
    mobo_name: machine.cpu.board,
    pci_gen: gpu.pciGen,
    pcie_bw: machine.pcieBandwidth,
    disk_name: machine.disk.name,
    disk_space: machine.disk.spaceGB,
    disk_bw: machine.disk.bandwidth,
    inet_up: machine.inetUpMbps,
    inet_down: machine.inetDownMbps,
    inet_up_cost: machine.inetUpCost,
    inet_down_cost: machine.inetDownCost,
    internet_up_cost_per_tb: round(machine.inetUpCost * 1000, 3),
    internet_down_cost_per_tb: round(machine.inetDownCost * 1000, 3),
    direct_port_count: machine.directPorts,
    static_ip: machine.staticIp,
    public_ipaddr: machine.publicIp,
    geolocation: machine.place,
    geolocode: machine.id * 7919,
    verification: machine.verification,
    vericode: machine.verification === "verified" ? 1 : 0,
    reliability: machine.reliability,
    reliability2: machine.reliability,
    reliability_mult: round(machine.reliability, 3),
    expected_reliability: machine.reliability,
    storage_cost: machine.storageCost,
    os_version: machine.osVersion,
    vms_enabled: false,
    is_vm_deverified: false,
    resource_type: "gpu",
    cluster_id: null,
    avail_vol_ask_id: null,
    avail_vol_dph: null,
    avail_vol_size: null,
    nw_disk_min_bw: null,
    nw_disk_avg_bw: null,
    nw_disk_max_bw: null,
    logo: "/static/logos/vastai_small2.png",
    webpage: null,
    hostname: null,
  };
}
